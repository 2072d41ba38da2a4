"""The pages about drift: behind Airflow's login, clear about what needs doing, safe with others' words."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, text

from include.alerts.drift import drift_key
from include.db.ml import DriftReport, record_drift_report
from include.db.model_updates import ModelUpdate, record_model_update
from ml.registry import connect, log_drift_report
from nightshift.links import drift_url
from tests.ml.drift.reports import OLD_NUMBERS, a_column, measured, numbers

TODAY = datetime.now(UTC).date()
SHORT = {"n": "none", "l": "low", "m": "medium", "h": "high", "c": "critical", "?": "cannot_tell"}
HTML = "<script>document.title = 'drawn'</script>" + "<p>Evidently</p>" * 100_000


def keep(db: Engine, letters: str, *, until: date = TODAY, **changes: Any) -> None:
    """A severity a day up to `until`; a blank is a day without a report."""
    for back, letter in enumerate(reversed(letters)):
        if letter == " ":
            continue
        severity = SHORT[letter]
        told = {
            "model_name": "ctr",
            "scope": "all",
            "model_version": 3,
            "reference": "2026-01-05 to 2026-03-01",
            "current": "the newest week",
            "decision": "update" if severity in ("high", "critical") else "no_action",
            "summary": f"A summary of {severity}.",
            "numbers": numbers(severity=severity, observed_severity=severity),
            "html_uri": None,
            **changes,
        }
        record_drift_report(
            db, DriftReport(report_date=until - timedelta(days=back), severity=severity, **told)
        )


def challenger(db: Engine, version: int) -> None:
    with db.begin() as connection:
        connection.execute(
            text("INSERT INTO ml.model_alias (model_name, alias, version) VALUES ('ctr', 'challenger', :v)"),
            {"v": version},
        )


def an_update(db: Engine, day: date, version: int | None) -> None:
    record_model_update(
        db,
        ModelUpdate(
            model_name="ctr",
            day=day,
            parent_version=3,
            mode="update",
            reason="high drift",
            severity="high",
            incident=None,
            candidates=[],
            winner="retrain_full" if version else "keep",
            version=version,
            ne_before=0.9234,
            ne_after=0.8931 if version else 0.9234,
            judged_rows=2100,
            judged_since=day,
            judged_until=day,
            outcome="<i>it</i> was tried",
        ),
    )


def day_page(visitor: Any, day: date = TODAY, rest: str = "") -> Any:
    return visitor.get(f"/nightshift/drift/ctr/all/{day}{rest}")


@pytest.mark.parametrize(
    "rest", ["", "/ctr/all/2026-03-08", "/ctr/all/2026-03-08/plot.png", "/c/a/2026-03-08/evidently"]
)
def test_nobody_reads_them_without_logging_in(airflow_app: Any, rest: str) -> None:
    assert airflow_app.get(f"/nightshift/drift{rest}").status_code == 401


def test_it_is_in_airflows_browse_menu(visitor: Any) -> None:
    plugins = visitor.get("/api/v2/plugins", params={"limit": 100}).json()["plugins"]
    (drift,) = (view for each in plugins for view in each["external_views"] if view["name"] == "Drift")
    assert (drift["href"], drift["category"]) == ("/nightshift/drift", "browse")


def test_an_empty_house_says_what_will_be_there(visitor: Any) -> None:
    page = visitor.get("/nightshift/drift")
    assert page.status_code == 200
    assert "No report yet" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_thirty_days_are_a_strip_that_is_readable_without_colour(db: Engine, visitor: Any) -> None:
    keep(db, "nlm?h c")
    page = visitor.get("/nightshift/drift").text
    strip = page[page.index('<span class="strip">') : page.index('<p class="key">')]
    assert re.findall(r">([^<\s]?)</(?:a|span)>", strip)[:30] == [""] * 23 + [
        "·",
        "L",
        "M",
        "?",
        "H",
        "",
        "C",
    ]
    assert f'title="{TODAY}: critical, a new model was asked for"' in strip
    assert f'href="drift/ctr/all/{TODAY - timedelta(days=2)}"' in strip
    assert strip.count("no report") == 24


@pytest.mark.parametrize(
    ("letters", "headline", "to_do"),
    [
        ("nnn", "Nothing needs doing", "Nothing to do."),
        ("nnm", "Nothing needs doing", "Nothing: it is watched"),
        ("nn?", "Nothing needs doing", "Nothing can be told"),
        ("nnh", "Nothing needs doing", f"a new model was asked for on {TODAY}"),
        ("hhn", "Nothing needs doing", "it calms down, and is over after 2 calm days in a row"),
        ("hnn", "Nothing needs doing", "Nothing to do."),
        ("hm", "1 of 1 needs somebody", "Look at the report and decide"),
    ],
)
def test_a_stranger_sees_at_once_whether_something_needs_doing(
    letters: str, headline: str, to_do: str, db: Engine, visitor: Any
) -> None:
    keep(db, letters)
    page = visitor.get("/nightshift/drift").text
    assert headline in page
    assert to_do in page


def test_a_waiting_challenger_is_what_needs_doing_in_an_incident(db: Engine, visitor: Any) -> None:
    keep(db, "nhh")
    challenger(db, 4)
    with db.begin() as connection:
        connection.execute(
            text("""
            INSERT INTO alerts.slack_message (message_key, channel, kind, text, state, slack_ts, sent_at)
            VALUES (:key, '#a', 'drift', 't', 'sent', '1.2', '2026-03-08 05:06+00')"""),
            {"key": drift_key("ctr", "all", TODAY - timedelta(days=1))},
        )
    page = visitor.get("/nightshift/drift").text
    assert "1 of 1 needs somebody" in page
    assert "Promote challenger v4, or say why not." in page
    assert f"</b> since {TODAY - timedelta(days=1)}, high at worst" in page
    assert "Told on Slack 2026-03-08 05:06." in page
    assert f"A new model was asked for on {TODAY - timedelta(days=1)}, {TODAY}." in page
    assert 'href="drift/../models"' in page


def test_without_an_incident_a_challenger_is_nobodys_duty_here(db: Engine, visitor: Any) -> None:
    keep(db, "nnn")
    challenger(db, 4)
    assert "Nothing needs doing" in visitor.get("/nightshift/drift").text


def test_updates_are_listed_and_one_that_did_not_help_needs_somebody(db: Engine, visitor: Any) -> None:
    keep(db, "nhh")
    an_update(db, TODAY - timedelta(days=9), 3)
    an_update(db, TODAY, None)
    page = visitor.get("/nightshift/drift").text
    assert f"an update was tried for {TODAY}, and none helped" in page
    assert '<span class="mark good">v3</span>' in page
    assert '<td class="n">0.9234</td><td class="n">0.8931</td>' in page
    assert "no new version" in page
    assert "&lt;i&gt;it&lt;/i&gt; was tried" in page


def test_a_report_shows_verdict_reason_costs_columns_niches_and_quality(db: Engine, visitor: Any) -> None:
    keep(db, "h")
    page = day_page(visitor).text
    for words in (
        "A summary of high.",
        "High calls for a full update of ctr v3.",
        "29 %</b>of the model's worth lost<br><small>21 % to 37 %, above all by hook_type",
        "+23 %</b>happens against what the model expects<br><small>+14 % to +32 %",
        "2 of 3</b>columns moved",
        "performance: high",
        "The model has lost 29% of what it is worth",
        "Normalized entropy is 0.92 (0.91 to 0.93), and was 0.88 when the model was judged",
        "question: 50.0 % before, 20.0 % now",
        "what the model answers · lower",
        "0.28<small>Jensen-Shannon distance",
        "frequency is missing in 9 % of the rows.",
        "<td>beauty</td>",
        "7 rows are there twice and count once.",
        f"ctr/all/{TODAY}/plot.png",
    ):
        assert words in page, words
    assert page.index("hook_type</") < page.index("predicted_ctr<") < page.index("age<")
    assert "<script" not in page


def test_any_past_day_can_be_opened_and_leads_to_its_neighbours(db: Engine, visitor: Any) -> None:
    keep(db, "hhnn" + "n" * 60)
    first = TODAY - timedelta(days=63)
    page = day_page(visitor, first + timedelta(days=1)).text
    assert f'href="../../ctr/all/{first}">← earlier' in page
    assert f'href="../../ctr/all/{first + timedelta(days=2)}">later →' in page
    assert f"Incident, over</b> since {first}" in page
    assert f"over on {first + timedelta(days=3)}" in page
    assert 'class="s-high here"' in page
    assert "← earlier" not in day_page(visitor, first).text
    assert "later →" not in day_page(visitor).text


def test_the_address_in_messages_opens_the_report(db: Engine, visitor: Any) -> None:
    keep(db, "h", model_name="shop model", scope="act_1")
    url = urlsplit(drift_url("shop model", "act_1", TODAY))
    assert url.scheme in ("http", "https")
    assert "shop model, account act_1" in visitor.get(url.path).text


def test_what_others_wrote_stays_words(db: Engine, visitor: Any) -> None:
    evil = "<script>alert(1)</script>"
    bins = {"labels": [evil], "reference": [0.5], "current": [1.0], "error": [None]}
    told = numbers(
        columns=[a_column(evil, note=evil, method=evil, bins=bins)],
        reason=evil,
        notes=[evil],
        quality={"issues": [evil]},
        niches=[{"niche": evil, "severity": evil, "summary": evil}],
        kinds={"features": evil},
        observed_severity=evil,
        performance=measured(worst_column=evil, metric=evil, note=evil),
    )
    keep(db, "h", summary=evil, numbers=told, model_name='a"<b>', scope="x'<i>", reference=evil, current=evil)
    overview = visitor.get("/nightshift/drift").text
    path = re.search(r'href="(drift/a%22[^"]+)"', overview)
    assert path is not None
    page = visitor.get(f"/nightshift/{path[1]}")
    assert page.status_code == 200
    for shown in (overview, page.text):
        assert "<script" not in shown
        assert "<b>," not in shown
        assert "x'<i>" not in shown
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert visitor.get(f"/nightshift/{path[1]}/plot.png").content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "told", [OLD_NUMBERS, {}, {"form": 2}, numbers(columns=[], performance=None, niches=None, quality=None)]
)
def test_reports_of_older_forms_and_empty_ones_are_shown_too(
    told: dict[str, Any], db: Engine, visitor: Any
) -> None:
    keep(db, "h", numbers=told, model_version=None)
    page = day_page(visitor)
    assert page.status_code == 200
    assert "A summary of high." in page.text
    assert "no champion" in page.text
    assert visitor.get("/nightshift/drift").status_code == 200
    assert day_page(visitor, rest="/plot.png").content.startswith(b"\x89PNG")


def test_two_hundred_columns_are_shown_without_crowding_out_the_rest(db: Engine, visitor: Any) -> None:
    keep(db, "h", numbers=numbers(columns=[a_column(f"column_{n}") for n in range(200)]))
    page = day_page(visitor).text
    assert "<summary>192 more columns</summary>" in page
    assert page.count('<svg class="bars"') == 200


def test_models_that_need_somebody_come_first(db: Engine, visitor: Any) -> None:
    for number in range(30):
        keep(db, "nn", model_name=f"ctr_act_{number}", scope=f"act_{number}")
    keep(db, "hm", model_name="ctr_zz", scope="zz")
    page = visitor.get("/nightshift/drift").text
    assert "1 of 31 needs somebody" in page
    assert page.index(">ctr_zz<") < page.index(">ctr_act_0<")
    assert page.count('<section class="report"') == 2


def test_the_plot_is_drawn_from_the_kept_numbers_light_and_dark(db: Engine, visitor: Any) -> None:
    keep(db, "h")
    light, dark = day_page(visitor, rest="/plot.png"), day_page(visitor, rest="/plot.png?dark=true")
    assert light.headers["content-type"] == "image/png"
    assert light.content.startswith(b"\x89PNG")
    assert light.content != dark.content


def test_a_day_that_has_no_report_or_is_none_says_so(db: Engine, visitor: Any) -> None:
    keep(db, "h")
    missing = day_page(visitor, date(2020, 1, 1))
    assert missing.status_code == 404
    assert "There is no report on ctr of 2020-01-01" in missing.text
    assert day_page(visitor, date(2020, 1, 1), "/plot.png").status_code == 404
    assert visitor.get("/nightshift/drift/ctr/all/yesterday").status_code == 422
    assert visitor.get(f"/nightshift/drift/ctr%00/all/{TODAY}").status_code == 422
    assert visitor.get(f"/nightshift/drift/{'x' * 300}/all/{TODAY}").status_code == 422


@pytest.fixture
def kept_page(db: Engine, mlflow_uri: str) -> str:
    """Today's report has a page in MLflow; its run's id."""
    kept = log_drift_report(
        connect(mlflow_uri),
        key=f"ctr:all:{TODAY}",
        title="ctr",
        facts={},
        numbers={},
        evidently=None,
        html=HTML,
    )
    keep(db, "h", html_uri=kept.html_uri)
    return kept.run_id


def test_evidentlys_page_comes_in_a_sandbox_that_cannot_reach_airflow(kept_page: str, visitor: Any) -> None:
    assert f'href="../../ctr/all/{TODAY}/evidently"' in day_page(visitor).text
    page = day_page(visitor, rest="/evidently")
    assert page.status_code == 200
    assert page.text == HTML
    assert page.headers["content-type"].startswith("text/html")
    rules = dict(
        rule.strip().partition(" ")[::2] for rule in page.headers["content-security-policy"].split(";")
    )
    assert rules["sandbox"] == "allow-scripts", "and not allow-same-origin, which would undo it"
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'self'"
    assert "connect-src" not in rules, "the default stands"
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("uri", "status", "words"),
    [
        (f"runs:/{'0' * 32}/drift_report.html", 404, "is gone from MLflow"),
        ("file:///etc/passwd", 502, "is no file of an MLflow run"),
    ],
)
def test_a_page_that_is_gone_or_no_runs_says_so(
    uri: str, status: int, words: str, mlflow_uri: str, db: Engine, visitor: Any
) -> None:
    keep(db, "h", html_uri=uri)
    page = day_page(visitor, rest="/evidently")
    assert page.status_code == status
    assert words in page.text
    assert "sandbox" not in page.headers["content-security-policy"]


def test_a_report_without_a_page_of_evidently_says_so(db: Engine, visitor: Any) -> None:
    keep(db, "h")
    assert "evidently" not in day_page(visitor).text
    none = day_page(visitor, rest="/evidently")
    assert (none.status_code, "Evidently drew no page about ctr" in none.text) == (404, True)


def test_without_mlflow_the_report_stays_readable_and_evidentlys_page_says_what_to_check(
    db: Engine, visitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(db, "h", html_uri=f"runs:/{'0' * 32}/drift_report.html")
    gone = {"conn_type": "http", "host": "http://127.0.0.1:1"}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(gone))
    assert day_page(visitor).status_code == 200
    page = day_page(visitor, rest="/evidently")
    assert page.status_code == 503
    assert "Check connection mlflow_default" in page.text
