"""What may be asked of a language model tonight and what is answered, as the HTTP API and its page show it.

A question is given by its parts; the vendor's own body is made here (`include.llm.bodies`), so that nothing
is in it that the night's budget has not counted.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from include.llm.bodies import Endpoint, Image
from include.llm.errors import RequestInvalid

# What a newly launched creative has, which goes before all others: nothing asked here goes before it.
HIGHEST_PRIORITY = 1_000_000_000
HIGHEST_ID = 2**63 - 1

# Neither control characters nor half of a surrogate pair: what PostgreSQL can store and a page can show.
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]


class Body(BaseModel):
    """Base of what is sent: strict about names, and about kinds."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Picture(Body):
    """A picture to look at: its bytes in base64 and their type, or an address the vendor fetches it from."""

    media_type: Literal["", "image/jpeg", "image/png", "image/gif", "image/webp"] = ""
    data: str = Field(default="", repr=False, description="base64")
    url: str = Field(default="", max_length=2_000, pattern=r"^[^\x00-\x20]*$", description="https only")

    @model_validator(mode="after")
    def _is_one(self) -> "Picture":
        try:
            self.image()
        except RequestInvalid as error:
            raise ValueError(str(error)) from error
        return self

    def image(self) -> Image:
        """As the bodies of the vendors take it."""
        return Image(self.media_type, self.data, self.url)


class Asked(Body):
    """What every request has."""

    purpose: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$", description="what the answer is for; the ledger counts by it"
    )
    tenant: Name = Field(description="id of the account it is asked for, which pays")
    subject: Name = Field(description="what it is about within the account, such as a creative's id")
    model: Name
    prompt_version: Name = Field(
        default="1", description="change it with the prompt: answers to an older one are never given for it"
    )
    priority: Decimal = Field(
        default=Decimal(0), ge=0, le=HIGHEST_PRIORITY, decimal_places=2, description="higher leaves first"
    )
    not_after: AwareDatetime | None = Field(
        default=None, description="when an answer is of no use any more; with a time zone"
    )

    @field_validator("not_after")
    @classmethod
    def _is_to_come(cls, value: datetime | None) -> datetime | None:
        if value is not None and value <= datetime.now(UTC):
            raise ValueError("this has passed; give a time to come, or leave it out")
        return value


class Question(Asked):
    """A question that a model answers in words, or in JSON by a schema."""

    endpoint: Literal["/v1/messages", "/v1/chat/completions", "/v1/responses"] = Field(
        description="/v1/messages asks Anthropic, the others OpenAI"
    )
    text: Text = Field(repr=False)
    instructions: str = Field(default="", pattern=r"^[^\x00]*$", repr=False, description="the system prompt")
    images: list[Picture] = Field(default=[], repr=False)
    answer_schema: dict[str, Any] | None = Field(
        default=None, repr=False, description="JSON schema (2020-12, type object) the answer has to meet"
    )
    max_tokens: int = Field(gt=0, description="most tokens of the answer, reasoning included")


class Embedding(Asked):
    """Texts that a model turns into vectors."""

    endpoint: Literal["/v1/embeddings"]
    texts: list[Text] = Field(min_length=1, repr=False)
    dimensions: int | None = Field(default=None, gt=0, le=10_000)


class AskedTonight(Body):
    """One call: all of its requests are stored, or none."""

    requests: tuple[Annotated[Question | Embedding, Field(discriminator="endpoint")], ...] = Field(
        min_length=1
    )


class State(StrEnum):
    """How far a request is."""

    QUEUED = "queued"
    BATCHED = "batched"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


Answer = Annotated[
    dict[str, Any] | None,
    Field(
        description='once succeeded: {"text": ...}, the JSON object of the schema, or {"vectors_b64": [...], '
        '"dimensions": n} with little-endian float32 in base64'
    ),
]


class Receipt(BaseModel):
    """What became of one request of a call."""

    id: int
    state: State
    is_new: bool = Field(description="false: the same question was stored before, by whomever")
    answer: Answer = None
    error: str | None = Field(default=None, description="why it failed")


class Receipts(BaseModel):
    """One receipt per request, in the order they were asked in."""

    requests: list[Receipt]


class StoredRequest(BaseModel):
    """One request and, once there is one, its answer."""

    id: int
    state: State
    purpose: str
    endpoint: Endpoint
    model: str
    prompt_version: str
    answer: Answer
    answered_from: Literal["batch", "cache"] | None
    error: str | None = Field(description="why it failed, or why its last attempt did")
    attempts: int
    not_after: datetime | None
    queued_on: date
    queued_at: datetime
    finished_at: datetime | None


EXAMPLES: dict[str, Any] = {
    "a question": {
        "summary": "A question to Anthropic, answered in JSON",
        "value": {
            "requests": [
                {
                    "endpoint": "/v1/messages",
                    "model": "claude-haiku-4-5",
                    "purpose": "hook_class",
                    "tenant": "act_101",
                    "subject": "creative_7",
                    "prompt_version": "hook-1",
                    "instructions": "Name the kind of hook.",
                    "text": "Why do most diets fail after three weeks?",
                    "answer_schema": {
                        "type": "object",
                        "properties": {"hook_type": {"enum": ["question", "statistic", "story"]}},
                        "required": ["hook_type"],
                        "additionalProperties": False,
                    },
                    "max_tokens": 200,
                    "priority": 10,
                }
            ]
        },
    },
    "a picture": {
        "summary": "A question to OpenAI about a picture, of use until a deadline",
        "value": {
            "requests": [
                {
                    "endpoint": "/v1/chat/completions",
                    "model": "gpt-5-mini",
                    "purpose": "creative_review",
                    "tenant": "act_101",
                    "subject": "creative_7",
                    "text": "What does this thumbnail promise?",
                    "images": [{"url": "https://cdn.example.com/thumbnails/7.jpg"}],
                    "max_tokens": 300,
                    "not_after": "2036-01-31T12:00:00Z",
                }
            ]
        },
    },
    "vectors": {
        "summary": "Texts to embed",
        "value": {
            "requests": [
                {
                    "endpoint": "/v1/embeddings",
                    "model": "text-embedding-3-small",
                    "purpose": "embedding",
                    "tenant": "act_101",
                    "subject": "hooks",
                    "texts": ["Why do most diets fail?", "Nine out of ten start-ups fail"],
                    "dimensions": 512,
                }
            ]
        },
    },
}
