import pytest
from mr_cases import save_mr_model, write_case


@pytest.fixture(scope="session")
def cases_folder(tmp_path_factory):
    """Three cases of three patients."""
    root = tmp_path_factory.mktemp("cases")
    for number in range(3):
        write_case(root, f"BraTS-GLI-0000{number}-000", seed=number)
    return root


@pytest.fixture(scope="session")
def mr_model(tmp_path_factory):
    return save_mr_model(tmp_path_factory.mktemp("models") / "mr")
