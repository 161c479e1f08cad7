"""Prompt versions on their pages: read, written, pasted word for word, refused in a sentence."""

import pytest
import yaml
from django.forms import TextInput
from django.utils.html import escape

from labelapp.autolabel.models import Call, PromptVersion
from labelapp.autolabel.prompt_forms import PromptForm, typed_of
from labelapp.autolabel.prompt_pages import TEMPLATES, template
from labelapp.autolabel.prompts import fixtures_folder, prompt_get, prompt_of, prompts_load
from labelapp.jobs.follow import job_wait
from tests.autolabel.conftest import atlas, start
from workers.llm.errors import PromptError
from workers.llm.prompts import prompt_from_mapping, prompt_to_yaml, prompts_read, yaml_parse
from workers.llm.rendering import render

pytestmark = pytest.mark.django_db
READY_MADE = prompts_read(fixtures_folder())
# As it would be published: one text, blanks and line ends of its own.
PUBLISHED = "Words:\r\n  {tokens}\r\n\r\nThese words  are all about"


def typed(kind="labeler", endpoint="chat", **changes) -> dict[str, str]:
    return typed_of(template(kind, endpoint), as_yaml=False) | changes


def pasted(**changes) -> dict[str, str]:
    empty = dict.fromkeys(("system", "instruction", "exemplar_format", "exemplars"), "")
    return typed(endpoint="completion", name="published", style="as-published", item_format=PUBLISHED) | empty | changes


@pytest.mark.parametrize("prompt", READY_MADE, ids=lambda prompt: prompt.name)
@pytest.mark.parametrize("as_yaml", [False, True])
def test_every_ready_made_prompt_survives_the_form(prompt, as_yaml):
    assert PromptForm(typed_of(prompt, as_yaml=as_yaml), as_yaml=as_yaml).prompt() == prompt


@pytest.mark.parametrize("prompt", READY_MADE, ids=lambda prompt: prompt.name)
def test_what_stands_in_a_field_of_one_line_has_one(prompt):
    """A browser takes line breaks out of it, and a prompt could not be stored as it was offered."""
    form = PromptForm(typed_of(prompt, as_yaml=False), as_yaml=False)
    lines = [name for name, field in form.fields.items() if isinstance(field.widget, TextInput)]
    assert {"stop", "joiner"} <= set(lines)
    assert not [name for name in lines if "\n" in str(form.data[name])]


@pytest.mark.parametrize("prompt", READY_MADE, ids=lambda prompt: prompt.name)
def test_yaml_is_read_back_as_the_same_prompt(prompt):
    assert prompt_from_mapping(yaml.safe_load(prompt_to_yaml(prompt))) == prompt


def test_there_is_a_template_for_every_kind_and_endpoint():
    for kind, endpoint in TEMPLATES:
        assert (template(kind, endpoint).kind, template(kind, endpoint).endpoint) == (kind, endpoint)


def test_versions_are_listed_with_who_uses_them(llm, prompts, owner, owner_client, transactional_db):
    run = start(atlas(3))
    job_wait(run.job)
    html = owner_client.get("/runs/prompts/").content.decode()
    row = html.split("plain@1")[1].split("</tr>")[0]
    assert [cell.split("<")[0] for cell in row.split('<td class="num">')[1:]] == ["3", "1"]
    assert prompt_get("plain", "labeler").digest[:8] in row
    page = owner_client.get("/runs/prompts/check/1/").content.decode()
    assert "3 answered calls, 1 judge\n" in page


def test_the_list_takes_as_many_queries_however_many_versions(owner_client, django_assert_max_num_queries):
    prompts_load()
    with django_assert_max_num_queries(20):
        owner_client.get("/runs/prompts/")


def test_a_version_shows_what_is_sent_and_its_exemplars(owner_client):
    prompts_load()
    html = owner_client.get("/runs/prompts/verifier-few-shot-chat/1/").content.decode()
    assert "+ positive" in html and "− negative" in html and "at most 8 in the answer" in html
    prompt = prompt_of(prompt_get("verifier-few-shot-chat", "verifier"))
    assert escape(prompt.system) in html and "dog, dogs, puppy, Dog, kitten" in html
    saved = owner_client.get("/runs/prompts/verifier-few-shot-chat/1/?as=yaml")
    assert prompt_from_mapping(yaml.safe_load(saved.content)) == prompt
    assert 'filename="verifier-few-shot-chat.yaml"' in saved["Content-Disposition"]
    assert owner_client.get("/runs/prompts/verifier-few-shot-chat/9/").status_code == 404


def test_a_published_prompt_is_stored_and_sent_word_for_word(owner, owner_client):
    response = owner_client.post("/runs/prompts/new/", pasted())
    version = PromptVersion.objects.get(name="published")
    assert response.url == "/runs/prompts/published/1/" and version.created_by == owner
    sent = render(prompt_of(version), tokens=["cat", " dog"])
    assert (sent.endpoint, sent.text) == ("completion", "Words:\n  cat, dog\n\nThese words  are all about")


def test_the_next_version_of_a_name_and_the_same_again(owner_client):
    owner_client.post("/runs/prompts/new/", pasted())
    page = owner_client.get("/runs/prompts/new/?from=published@1").content.decode()
    assert "These words  are all about" in page and 'value="published"' in page
    assert owner_client.post("/runs/prompts/new/", pasted(max_tokens="9")).url == "/runs/prompts/published/2/"
    again = owner_client.post("/runs/prompts/new/", pasted(), follow=True)
    assert "asks the very same and is stored already" in again.content.decode()
    assert PromptVersion.objects.filter(name="published").count() == 2
    assert prompt_of(PromptVersion.objects.get(name="published", version=1)).max_tokens == 64


def test_a_whole_file_is_pasted(owner_client):
    text = (fixtures_folder() / "labeler-zero-shot-chat.yaml").read_text().replace("max_tokens: 64", "max_tokens: 65")
    response = owner_client.post("/runs/prompts/new/", {"as": "yaml", "yaml": f"name: mine\r\n{text}"})
    assert response.url == "/runs/prompts/mine/1/"


EXEMPLAR = "- tokens: [a, b]\n  positive: true\n"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"item_format": "Words: {words}"}, "item_format has the unknown placeholder {words}"),
        ({"item_format": "Words:"}, "item_format lacks the placeholder {tokens}"),
        ({"item_format": "A { and {tokens}"}, "item_format has a single {"),
        ({"exemplars": EXEMPLAR}, "exemplar 1 has no answer"),
        ({"exemplars": EXEMPLAR + "  answer: these words have no shared semantic meaning\n"}, "marked positive: true"),
        ({"exemplars": "- tokens: [a"}, "exemplars is not YAML"),
        ({"exemplars": "- &a [x]\n- *a"}, "exemplars has a YAML alias"),
        ({"exemplars": "7"}, "exemplars must be a list"),
        ({"instruction": "No place for them."}, "The placeholder {exemplars} is missing"),
        ({"max_tokens": "many"}, "max_tokens must be a whole number, and 'many' is not"),
        ({"max_tokens": "0"}, "max_tokens is 0"),
        ({"max_tokens": ""}, "max_tokens must be a whole number"),
        ({"temperature": "9"}, "temperature must be a number from 0 to 2"),
        ({"n": "5"}, "n is above 1 at temperature 0"),
        ({"kind": "poet"}, "kind is 'poet'"),
        ({"name": "Mine!"}, "The name 'Mine!' must be"),
        ({"system": "You listen.", "endpoint": "completion"}, "A completion endpoint has no system message"),
        ({"instruction": "x" * 200_001 + "{exemplars}"}, "longer than 200,000 characters"),
        ({"as": "yaml", "yaml": "just words"}, "holds no fields"),
        ({"as": "yaml", "yaml": "1: x"}, "1 is no name of a field"),
        ({"as": "yaml", "yaml": "name: [a"}, "The text is not YAML"),
        ({"as": "yaml", "yaml": "colour: red"}, "'colour' is no field of a prompt"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence_kept_and_not_stored(owner_client, changes, sentence):
    before = PromptVersion.objects.count()
    given = typed(name="mine") | changes
    response = owner_client.post("/runs/prompts/new/", given)
    assert response.status_code == 422 and PromptVersion.objects.count() == before
    html = response.content.decode()
    notice = html.split('role="alert">')[1].split("</div>")[0]
    assert escape(sentence) in notice and "\n" not in notice.strip().removeprefix("<span>").removesuffix("</span>")
    kept = changes.get("yaml") or next(iter(changes.values()))
    assert escape(kept) in html, "what was typed is there to be mended"
    preview = owner_client.post("/runs/prompts/preview/", given).content.decode()
    assert escape(sentence) in preview


def test_the_preview_shows_what_would_be_sent_and_stores_nothing(owner_client):
    before = PromptVersion.objects.count()
    html = owner_client.post("/runs/prompts/preview/", pasted(item_format="Say what {tokens} <are>")).content.decode()
    assert "Say what dog, dogs, puppy" in html and "&lt;are&gt;" in html and "One text to be completed" in html
    assert r"\n" in owner_client.post("/runs/prompts/preview/", pasted()).content.decode(), (
        "a line break is a token too"
    )
    assert PromptVersion.objects.count() == before and not Call.objects.exists()


@pytest.mark.parametrize("query", ["from=nobody@1", "from=x@y", "from=x@" + "9" * 40, "kind=poet", "endpoint=phone"])
def test_an_unknown_beginning_is_not_found(owner_client, query):
    assert owner_client.get(f"/runs/prompts/new/?{query}").status_code == 404


def test_aliases_and_odd_yaml_are_refused():
    for text in ("a: [&x b, *x]", "[" * 5000, "d: 2001-99-99", "n: " + "9" * 6000, "a: b: c", "\x07"):
        with pytest.raises(PromptError, match="The text"):
            yaml_parse(text, "The text")


def test_everybody_reads_and_writes_nobody_does(client, outsider_client):
    prompts_load()
    assert outsider_client.get("/runs/prompts/labeler-zero-shot-chat/1/").status_code == 200
    assert outsider_client.post("/runs/prompts/new/", pasted()).status_code == 302
    assert PromptVersion.objects.get(name="published").created_by.username == "outsider"
    for path in ("/runs/prompts/", "/runs/prompts/new/", "/runs/prompts/published/1/"):
        assert "/account/" in client.get(path).url
