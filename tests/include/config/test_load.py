import pytest
import yaml

from include.config import ConfigInvalid, load_thresholds
from include.config.load import DEFAULT_FILE


def changed(tmp_path, change):
    values = yaml.safe_load(DEFAULT_FILE.read_text())
    change(values)
    path = tmp_path / "thresholds.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_shipped_file_is_valid():
    assert load_thresholds(DEFAULT_FILE).ctr.min_rows > 0


def test_a_value_out_of_range_is_named_by_its_path(tmp_path):
    path = changed(tmp_path, lambda values: values["ctr"].update(test_share=1.5))
    with pytest.raises(ConfigInvalid, match=r"ctr\.test_share.*less than 1"):
        load_thresholds(path)


def test_an_unknown_name_is_refused(tmp_path):
    path = changed(tmp_path, lambda values: values["drift"].update(sampel_rows=1))
    with pytest.raises(ConfigInvalid, match=r"drift\.sampel_rows"):
        load_thresholds(path)


def test_a_missing_section_is_named(tmp_path):
    path = changed(tmp_path, lambda values: values.pop("alerts"))
    with pytest.raises(ConfigInvalid, match="alerts: Field required"):
        load_thresholds(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cost": {"low": 0.1, "medium": 0.3, "high": 0.2, "critical": 0.5}}, r"drift\.cost.*must rise"),
        ({"evidence": {"usual": 0.01, "severe": 0.05, "certain": 0.001}}, "certain must be at most severe"),
        ({"models": {"ctr": {"source": "table", "table": "x; drop"}}}, r"drift\.models\.ctr"),
        ({"models": {"ctr": {"source": "nowhere"}}}, r"drift\.models\.ctr"),
        ({"models": {"ctr": {"source": "ads"}, "other": {"source": "ads"}}}, "only ctr learns from the ads"),
        (
            {"actions": dict.fromkeys(("low", "medium", "high", "critical"), "alert")},
            "people are told from high on",
        ),
    ],
)
def test_what_drift_cannot_mean_is_refused(tmp_path, change, says):
    path = changed(tmp_path, lambda values: values["drift"].update(change))
    with pytest.raises(ConfigInvalid, match=says):
        load_thresholds(path)


@pytest.mark.parametrize("text", ["", "a: [", "- 1"])
def test_what_is_no_thresholds_file_is_refused_with_its_path(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigInvalid, match=r"broken\.yaml"):
        load_thresholds(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigInvalid, match=r"nowhere\.yaml: cannot be read"):
        load_thresholds(tmp_path / "nowhere.yaml")
