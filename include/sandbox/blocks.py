"""What Slack refuses in Block Kit: the mistakes programs make, in Slack's words.

Limits are those of Slack's Block Kit reference for messages. Every complaint names its place as a JSON
pointer, as Slack's `errors` do.
"""

from collections.abc import Iterator
from typing import Any

MOST_BLOCKS = 50
MOST_ATTACHMENTS = 100
SECTION_TEXT = 3_000
FIELD_TEXT = 2_000
MOST_FIELDS = 10
HEADER_TEXT = 150
BUTTON_TEXT = 75
BUTTON_VALUE = 2_000
URL = 3_000
ID = 255
MOST_CONTEXT_ELEMENTS = 10
MOST_ACTIONS = 25
IMAGE_TEXT = 2_000
TEXTS = ("mrkdwn", "plain_text")
INTERACTIVE = (
    "button",
    "checkboxes",
    "datepicker",
    "datetimepicker",
    "overflow",
    "radio_buttons",
    "static_select",
    "multi_static_select",
    "external_select",
    "users_select",
    "conversations_select",
    "channels_select",
    "timepicker",
    "workflow_button",
)
RICH_TEXT_PARTS = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")


def complaints(blocks: Any, pointer: str = "/blocks") -> list[str]:
    """What is wrong with `blocks`, each as Slack says it: `what [json-pointer:/blocks/0/text]`."""
    return [f"{text} [json-pointer:{where}]" for where, text in _blocks(blocks, pointer)]


Complaints = Iterator[tuple[str, str]]


def _blocks(blocks: Any, at: str) -> Complaints:
    if not isinstance(blocks, list):
        yield at, "must be an array"
        return
    if len(blocks) > MOST_BLOCKS:
        yield at, f"no more than {MOST_BLOCKS} items allowed"
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        here = f"{at}/{index}"
        if not isinstance(block, dict):
            yield here, "must be an object"
            continue
        yield from _block_id(block.get("block_id"), seen, f"{here}/block_id")
        check = CHECKS.get(str(block.get("type")))
        if check is None:
            yield f"{here}/type", f"unsupported type: {block.get('type')}"
        else:
            yield from check(block, here)


def _block_id(block_id: Any, seen: set[str], at: str) -> Complaints:
    if block_id is None:
        return
    yield from _length(block_id, ID, at)
    if block_id in seen:
        yield at, "block_id must be unique"
    seen.add(str(block_id))


def _section(block: dict[str, Any], at: str) -> Complaints:
    if "text" not in block and "fields" not in block:
        yield at, "must define either `text` or `fields`"
    if "text" in block:
        yield from _text(block["text"], SECTION_TEXT, f"{at}/text")
    if "fields" in block:
        yield from _count(block["fields"], MOST_FIELDS, f"{at}/fields")
        for index, field in enumerate(_listed(block["fields"])):
            yield from _text(field, FIELD_TEXT, f"{at}/fields/{index}")
    if "accessory" in block:
        yield from _element(block["accessory"], f"{at}/accessory", (*INTERACTIVE, "image"))


def _header(block: dict[str, Any], at: str) -> Complaints:
    yield from _text(block.get("text"), HEADER_TEXT, f"{at}/text", ("plain_text",))


def _context(block: dict[str, Any], at: str) -> Complaints:
    yield from _count(block.get("elements"), MOST_CONTEXT_ELEMENTS, f"{at}/elements")
    for index, element in enumerate(_listed(block.get("elements"))):
        here = f"{at}/elements/{index}"
        if isinstance(element, dict) and element.get("type") == "image":
            yield from _image(element, here)
        else:
            yield from _text(element, SECTION_TEXT, here)


def _actions(block: dict[str, Any], at: str) -> Complaints:
    yield from _count(block.get("elements"), MOST_ACTIONS, f"{at}/elements")
    seen: set[str] = set()
    for index, element in enumerate(_listed(block.get("elements"))):
        yield from _element(element, f"{at}/elements/{index}", INTERACTIVE)
        action_id = element.get("action_id") if isinstance(element, dict) else None
        if action_id is not None and action_id in seen:
            yield f"{at}/elements/{index}/action_id", "action_id must be unique within the block"
        seen.add(str(action_id))


def _element(element: Any, at: str, kinds: tuple[str, ...]) -> Complaints:
    if not isinstance(element, dict) or element.get("type") not in kinds:
        kind = element.get("type") if isinstance(element, dict) else None
        yield f"{at}/type", f"unsupported type: {kind}"
        return
    if element["type"] == "image":
        yield from _image(element, at)
    elif element["type"] == "button":
        yield from _text(element.get("text"), BUTTON_TEXT, f"{at}/text", ("plain_text",))
        for name, most in (("url", URL), ("value", BUTTON_VALUE), ("action_id", ID)):
            if name in element:
                yield from _length(element[name], most, f"{at}/{name}")
        if "url" in element and not str(element["url"]).startswith(("http://", "https://")):
            yield f"{at}/url", "invalid_url"
        if element.get("style", "primary") not in ("primary", "danger"):
            yield f"{at}/style", "must be one of: primary, danger"


def _image(block: dict[str, Any], at: str) -> Complaints:
    if "image_url" not in block and "slack_file" not in block:
        yield at, "must define either `image_url` or `slack_file`"
    if "image_url" in block:
        yield from _length(block["image_url"], URL, f"{at}/image_url")
        if not str(block["image_url"]).startswith(("http://", "https://")):
            yield f"{at}/image_url", "invalid_url"
    yield from _length(block.get("alt_text"), IMAGE_TEXT, f"{at}/alt_text")
    if block.get("title") is not None:
        yield from _text(block["title"], IMAGE_TEXT, f"{at}/title", ("plain_text",))


def _rich_text(block: dict[str, Any], at: str) -> Complaints:
    elements = block.get("elements")
    if not isinstance(elements, list):
        yield f"{at}/elements", "must be an array"
        return
    for index, element in enumerate(elements):
        if not isinstance(element, dict) or element.get("type") not in RICH_TEXT_PARTS:
            yield f"{at}/elements/{index}/type", "unsupported type"


def _nothing(block: dict[str, Any], at: str) -> Complaints:
    return iter(())


def _text(text: Any, most: int, at: str, kinds: tuple[str, ...] = TEXTS) -> Complaints:
    if not isinstance(text, dict):
        yield at, "must be an object"
        return
    if text.get("type") not in kinds:
        yield f"{at}/type", f"must be one of: {', '.join(kinds)}"
    yield from _length(text.get("text"), most, f"{at}/text")


def _count(items: Any, most: int, at: str) -> Complaints:
    if not _listed(items):
        yield at, "must be a non-empty array"
    elif len(items) > most:
        yield at, f"no more than {most} items allowed"


def _listed(items: Any) -> list[Any]:
    return items if isinstance(items, list) else []


def _length(text: Any, most: int, at: str) -> Complaints:
    if not isinstance(text, str):
        yield at, "must be a string"
    elif not text:
        yield at, "must be more than 0 characters"
    elif len(text) > most:
        yield at, f"must be less than {most + 1} characters"


CHECKS = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "divider": _nothing,
    "image": _image,
    "rich_text": _rich_text,
    "file": _nothing,
    "video": _nothing,
    "markdown": _nothing,
    "table": _nothing,
}
