"""Local synthesis of healthy tissue in brain MR, on cases as the BraTS challenge lays them out."""
