import traceback

import httpx
import pytest

from include.errors import TransientError
from include.llm.errors import VendorBusy, VendorRefused
from include.llm.vendors.anthropic import AnthropicBatches, anthropic_client, async_anthropic_client
from include.llm.vendors.openai import async_openai_client, openai_client
from tests.include.llm.conftest import LIST, RETRIEVE


@pytest.mark.parametrize(
    "make", [anthropic_client, async_anthropic_client, openai_client, async_openai_client]
)
@pytest.mark.parametrize("key", ["sk-ant-hidden\n", "sk-ant-hid den", "sk-ant-hiddén"])
def test_a_key_no_header_can_carry_is_refused_without_being_quoted(make, key):
    with pytest.raises(VendorRefused, match="_default") as refusal:
        make("http://127.0.0.1:9", key, timeout_s=1)
    assert "sk-ant" not in "".join(traceback.format_exception(refusal.value))


def test_an_answer_cut_short_on_its_way_is_asked_for_again(make_night):
    night = make_night()
    night.queue()
    (batch,) = night.submit().submitted
    night.fault("truncate", RETRIEVE, args={"bytes": 50, "clean": True})
    with pytest.raises(VendorBusy, match="damaged"):
        night.vendors["anthropic"].look(batch.vendor_batch_id)
    assert night.vendors["anthropic"].look(batch.vendor_batch_id).status == "in_progress"


def test_a_damaged_list_leaves_a_lost_batch_to_the_next_attempt(make_night):
    night = make_night()
    night.queue()
    night.fault("drop_response")
    night.fault("truncate", LIST, args={"bytes": 50, "clean": True})
    with pytest.raises(TransientError, match="damaged"):
        night.submit()
    night.submit()
    assert night.vendor_batches() == 1


def test_a_page_where_the_api_should_be_is_named(sandbox):
    assert httpx.get(sandbox.url).text.startswith("<!doctype html>")
    with (
        anthropic_client(f"{sandbox.url}/?", sandbox.api_key, timeout_s=5) as lost,
        pytest.raises(VendorBusy, match="no batch; check host"),
    ):
        AnthropicBatches(lost).look("msgbatch_1")
