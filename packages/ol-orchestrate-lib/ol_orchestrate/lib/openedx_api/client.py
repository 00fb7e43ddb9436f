"""The requests to an Open edX deployment: pages of records, courses, their structure and their export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from pydantic import AliasChoices, AliasPath, BaseModel, FailFast, Field, PrivateAttr, TypeAdapter, ValidationError

from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx_api.session import ApiSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ol_orchestrate.lib.openedx_api.credentials import ApiCredentials
    from ol_orchestrate.lib.openedx_api.transport import Response

MAX_PAGES = 10_000
"""Pages after which a listing counts as endless."""

MAX_QUERY = 2048
"""Characters in the query of a page's address, which messages repeat."""

Record = TypeVar("Record", bound=BaseModel)
Parsed = TypeVar("Parsed")


class Page(BaseModel, Generic[Record]):
    """A page of a listing in the form of Django REST framework.

    Attributes:
        count: The number of records in the whole listing at this moment, by the server's count.
        next: The address of the next page; `None` or empty on the last one. Some APIs keep both in `pagination`.
        results: The records of this page.
    """

    count: int = Field(validation_alias=AliasChoices("count", AliasPath("pagination", "count")), ge=0)
    next: str | None = Field(default=None, validation_alias=AliasChoices("next", AliasPath("pagination", "next")))
    results: Annotated[list[Record], FailFast()]  # only the first is reported; many take much memory
    _body: bytes = PrivateAttr(default=b"")

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a page from the body of a response.

        Raises:
            ValidationError: The body is no such page.
        """
        page = cls.model_validate_json(body)
        page._body = body  # noqa: SLF001 - of this class
        return page

    def results_as_sent(self) -> list[bytes]:
        """Return each record of a parsed page as the server sent it: one line of JSON, all fields, no digit changed.

        Raises:
            BadInputError: The page holds a number that JSON does not have, such as `NaN`.
        """
        try:
            texts = msgspec.json.decode(self._body, type=_RawPage).results
        except msgspec.DecodeError as error:
            raise BadInputError(f"the page is no JSON: {error}. Report it to the operators of the API") from None
        return [msgspec.json.format(text, indent=-1) for text in texts]


class _RawPage(msgspec.Struct):
    """A page whose records are left as they are."""

    results: list[msgspec.Raw]


class CourseSummary(BaseModel):
    """The needed field of a course in the list of courses."""

    id: str = Field(min_length=1)


class CourseExports(BaseModel):
    """The response to the start of an export; the keys of each mapping are course ids.

    Attributes:
        upload_task_ids: The id of each task, for `OpenEdxApi.export_status`.
        upload_urls: The address at which each archive will be.
        failed_uploads: The reason of each export that could not be started.
    """

    upload_task_ids: dict[str, str]
    upload_urls: dict[str, str] = {}
    failed_uploads: dict[str, str] = {}


class ExportStatus(BaseModel):
    """An export's progress; `state` is `Pending`, `In Progress`, `Succeeded`, `Failed`, `Canceled` or `Retrying`."""

    state: str


class OpenEdxApi:
    """The API of one Open edX deployment. Thread-safe.

    Methods raise the errors of `ApiSession.post`, and `BadInputError` for a response in an unexpected form.

    Args:
        session: The session that sends the requests; `close` closes it.
    """

    def __init__(self, session: ApiSession) -> None:
        self._session = session

    @classmethod
    def connect(cls, credentials: Callable[[], ApiCredentials], *, requests_per_hour: int | None = None) -> Self:
        """Make an API that reads the credentials and connects at its first request."""
        return cls(ApiSession(credentials, requests_per_hour=requests_per_hour))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def pages(
        self, path: str, page_model: type[Page[Record]], params: dict[str, str | int] | None = None
    ) -> Iterator[Page[Record]]:
        """Read a listing, with one page in memory at a time.

        Args:
            path: A path below the API's address, such as `/api/v1/programs/`.
            page_model: `Page[…]` of the record's model.
            params: The query of the first page. Each other page has the query of the server's own `next` alone.

        Raises:
            BadInputError: A record does not fit its model, or a `next` leads to another host or to a page already
                read. The message names the page, the number of the record and the field.
        """
        url = self._session.credentials.url + path
        query = str(httpx.QueryParams(params))
        seen = set[str]()
        while query not in seen and len(seen) < MAX_PAGES:
            seen.add(query)
            response = self._session.get(url, query)
            page = self._parse_page(response, page_model, number=len(seen))
            yield page
            if not page.next:
                return
            query = self._query_of_next(response, page.next)
        message = (
            f"{response.request}: the listing leads back to a page already read, or has over {MAX_PAGES:,} pages. "
            "Report it to the operators of the API"
        )
        raise BadInputError(message)

    def _parse_page(self, response: Response, page_model: type[Page[Record]], *, number: int) -> Page[Record]:
        try:
            return page_model.parse(response.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            if not first["loc"]:  # no JSON object at all
                raise self._session.unexpected_response(response, "a page of a listing", error) from None
        place = _place(first["loc"], _names_of_fields(page_model))
        message = f"{response.request}, page {number}: {place}: {first['msg']}"
        raise BadInputError(message) from None

    def _query_of_next(self, response: Response, link: str) -> str:
        """Return the query of `next`; the request goes to the configured address, whatever scheme or port `next` has.

        Behind a proxy that ends TLS, the server writes `http` or its own port there.
        """
        base = httpx.URL(self._session.credentials.url)
        try:
            target = base.join(link)
        except httpx.InvalidURL:
            target = httpx.URL()
        if target.scheme not in {"http", "https"} or target.host.rstrip(".") != base.host.rstrip("."):
            message = (
                f"{response.request}: its `next` leads to {target.host[:253] or 'an unreadable address'}, away from"
                f" {base.host}; it is not followed"
            )
            raise BadInputError(message)
        if len(target.query) > MAX_QUERY:
            raise BadInputError(f"{response.request}: its `next` has a query of over {MAX_QUERY} characters")
        return target.query.decode("ascii")

    def course_ids(self, page_size: int = 100) -> Iterator[str]:
        """Yield the id (`course-v1:…`) of each course that the OAuth client may see."""
        for page in self.pages("/api/courses/v1/courses/", Page[CourseSummary], {"page_size": page_size}):
            for course in page.results:
                yield course.id

    def course_blocks(self, course_id: str) -> dict[str, Any]:
        """Return the blocks that the LMS shows to staff: `root`, and `blocks` by usage key with `children`."""
        params = {"course_id": course_id, "depth": "all", "all_blocks": "true", "requested_fields": "children"}
        return self._document(self._session.get(f"{self._session.credentials.url}/api/courses/v1/blocks/", params))

    def course_structure(self, course_id: str) -> dict[str, Any]:
        """Return each block's `category`, `children` and `metadata` by usage key, as in a course structure.

        Only deployments with the plugin `ol-openedx-course-structure-api` have this.
        """
        return self._lms_document(f"/api/course-structure/v0/{_in_path(course_id)}/")

    def course_outline(self, course_id: str) -> dict[str, Any]:
        """Return the sections and sequences of the course, with dates and visibility."""
        return self._lms_document(f"/api/learning_sequences/v1/course_outline/{_in_path(course_id)}")

    def export_courses(self, course_ids: Sequence[str]) -> CourseExports:
        """Let Studio export courses to its bucket, without waiting for the end.

        Only deployments with the plugin `ol-openedx-course-export` have this.
        """
        response = self._session.post(f"{self._studio_url()}/api/courses/v0/export/", {"courses": list(course_ids)})
        return self._parse(response, TypeAdapter(CourseExports), "the tasks of an export")

    def export_status(self, course_id: str, task_id: str) -> ExportStatus:
        """Return the progress of an export."""
        url = f"{self._studio_url()}/api/courses/v0/export/{_in_path(course_id)}/"
        return self._parse(self._session.get(url, {"task_id": task_id}), TypeAdapter(ExportStatus), "a task's state")

    def _studio_url(self) -> str:
        url = self._session.credentials.studio_url
        if not url:
            message = (
                f"The credentials for {self._session.credentials.url} have no address of Studio, which exports "
                "courses: set `studio_url`"
            )
            raise BadInputError(message)
        return url

    def _lms_document(self, path: str) -> dict[str, Any]:
        return self._document(self._session.get(self._session.credentials.url + path))

    def _document(self, response: Response) -> dict[str, Any]:
        return self._parse(response, TypeAdapter(dict[str, Any]), "an object")

    def _parse(self, response: Response, model: TypeAdapter[Parsed], expected: str) -> Parsed:
        try:
            return model.validate_json(response.body)
        except ValidationError as error:
            raise self._session.unexpected_response(response, expected, error) from None


def _place(parts: tuple[int | str, ...], fields: set[str]) -> str:
    """Turn `("results", 3, "course_runs", 0, "key")` into `record no. 4, course_runs no. 1, key`.

    Names that are not those of a field come from the response, and are not repeated.
    """
    where = ""
    match parts:
        case ("results", int(index), *inner):
            where = f"record no. {index + 1}"
        case _:
            inner = list(parts)
    for part in inner:
        where += f" no. {part + 1}" if isinstance(part, int) else f", {part if part in fields else 'a key'}"
    return where.removeprefix(", ")


def _names_of_fields(model: type[BaseModel]) -> set[str]:
    """Return the names of all fields of a model and of the models in it."""
    schema = model.model_json_schema()
    objects = [schema, *schema.get("$defs", {}).values()]
    return {name for each in objects for name in each.get("properties", {})}


def _in_path(course_id: str) -> str:
    """Return the id as part of a path; old ids contain slashes, which Open edX expects unescaped.

    Raises:
        BadInputError: The id would lead to another path.
    """
    if {"", ".", ".."} & set(course_id.split("/")):
        message = f"{course_id!r} is no course id: give one such as course-v1:org+number+run or org/number/run"
        raise BadInputError(message)
    return quote(course_id, safe="/:+@")
