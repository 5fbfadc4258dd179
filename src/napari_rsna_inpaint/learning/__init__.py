"""Learning from verdicts: a re-scorer of findings, fitted to what readers accept and reject."""
