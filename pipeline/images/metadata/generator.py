"""Generator: detects names and settings of image generators in metadata texts.

A name counts only in context: in a software field any product, in a field for people (artist, credit, source) only what
cannot be a person's name, in free text only after "made with" or the like.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

NAMES = "|".join(
    (
        r"stable[ _-]?diffusion|\bsd ?xl\b|comfy ?ui\b|invoke[ -]?ai\b|novel ?ai\b|automatic ?1111|mid ?journey",
        r"\bdall[ ._·∙•-]?e\b|\bopen ?ai\b|\bgpt-?4o\b|gpt[- ]image|chat ?gpt|adobe[ _]firefly|google ai\b",
        r"google generative ai|google[ _-](?:gemini|imagen)|\bimagen[ -]?\d|\bgemini[ -](?:\d|app|flash|pro|image)",
        r"nano ?banana|black ?forest ?labs|\bflux\.?[12]\b|\bflux[ -](?:dev|schnell|pro|krea|kontext|klein)\b",
        r"leonardo\.? ?ai\b|fooocus|\bsd\.?next\b|swarm ?ui\b|easy ?diffusion|diffusion ?bee|mochi ?diffusion",
        r"bing image creator|image creator from (?:microsoft|designer)|stability[. ]?ai|dream ?studio\b",
        r"night ?cafe ?studio|\bcraiyon|\bkrea[. ]ai\b|tensor\.art|civit\.?ai|sea ?art\.?ai|playground ?ai\b",
        r"runway ?ml|\bseedream|dreamina|imagine with meta|(?:\bmeta|\bx)[ .-]?ai\b|\bgrok[ -](?:\d|image|imagine)",
        r"recraft\.?ai|\bideogram ?\.?ai\b|hunyuan[ -]?image|qwen[ -]?image",
    )
)
"""Product names that are neither a person's nor a camera's."""

NAMES_PATTERN = re.compile(NAMES, re.IGNORECASE)
PROGRAM_PATTERN = re.compile(
    NAMES + r"|\bideogram\b|\brecraft\b|^krea\b|\bkandinsky ?\d|draw things|\bnmkd\b|^gemini$|^imagen$|^firefly$|^grok$"
    r"|\bwombo\b|^starry ?ai|^jimeng|^doubao|^ai[ -]generated",
    re.IGNORECASE,
)
PHRASE = re.compile(
    r"\b(?:generated|created|made|imagined|rendered|painted|drawn) (?:with|by|using|via|in|on) (?:the )?"
    rf"(?=[^\n]{{0,20}}?({NAMES}))",
    re.IGNORECASE,
)
NEGATION = re.compile(r"\b(?:not|no|never|without|non)\b|n't\b", re.IGNORECASE)
AI_GENERATED = re.compile(r"^ai[ -]generated", re.IGNORECASE)

SETTINGS_LINE = re.compile(r"\bSteps: {0,4}\d{1,6}[,|][^\n]{0,4000}", re.IGNORECASE)
SETTINGS_MORE = re.compile(r"\b(?:Sampler|CFG scale|Seed|Model)\b", re.IGNORECASE)
MAX_STARTS = 16
"""Maximum number of positions in a text that are tried."""

JOB = re.compile(r"\bJob ID: {0,4}(?:[0-9a-f]{8}-[0-9a-f]{4}-|[^\n]{0,60}$)", re.IGNORECASE)
FLAG = re.compile(r"(?<=\s)--(?:v|niji) {1,4}\d{1,2}(?:\.\d)?(?=\s{0,4}(?:$|--|Job ID))", re.IGNORECASE)
"""Midjourney's version at the end of a prompt."""

NODE_MODEL = re.compile(r'"(?:ckpt_name|unet_name|model_name|base_ckpt_name)"\s{0,9}:\s{0,9}"([^"\n]{1,200})"')
WORKFLOW = re.compile(r'"(?:nodes"\s{0,9}:\s{0,9}\[|last_node_id")')
NODE_CLASS = re.compile(r'"class_type"\s{0,9}:')
LOADERS = re.compile(r"checkpoint.{0,9}loader|unet.{0,9}loader|diffusion.{0,9}model.{0,9}loader", re.IGNORECASE)
KEYWORD_PREFIX = re.compile(r"\s{0,9}(prompt|workflow)\s{0,9}:\s{0,9}(?=\{)", re.IGNORECASE)
"""ComfyUI graphs in EXIF texts: the name, a colon, the JSON."""

GRAPH_KEYWORDS = ("prompt", "workflow")
MAX_MODELS = 20


def is_generator(text: str) -> bool:
    """Return whether a program's name is a generator's."""
    return PROGRAM_PATTERN.search(text[:1000]) is not None


def names_generator(text: str) -> bool:
    """Return whether the name of a maker, an artist or a source is a generator's."""
    return NAMES_PATTERN.search(text[:1000]) is not None


def says_ai_generated(software: str) -> bool:
    """Return whether a software field says only that the image is generated."""
    return AI_GENERATED.match(software) is not None


def from_phrase(text: str) -> str:
    """Return the generator named in a free text; empty if none."""
    found = PHRASE.search(text[:4000])
    if found is None or NEGATION.search(text[max(0, found.start() - 20) : found.start()]):
        return ""
    return found[1]


def from_settings(text: str, name: str = "") -> str:
    """Detect a generator by its settings.

    Args:
        text: the content of a text chunk, an EXIF text or a comment.
        name: its keyword in lower case; empty for none.

    Returns:
        The generator and, if the settings name it, the model; empty if none.
    """
    named = KEYWORD_PREFIX.match(text[:64])
    if named:
        name, text = named[1].lower(), text[named.end() :]
    return _by_keyword(name, text) or (_graph(text, name) if "{" in text else "") or _by_line(text)


def _by_line(text: str) -> str:
    """Detect the settings line of the web UIs, which names the model."""
    for step, found in enumerate(SETTINGS_LINE.finditer(text)):
        if SETTINGS_MORE.search(found[0]):
            return found[0]
        if step == MAX_STARTS:
            break
    head = text[:8000]
    flag = FLAG.search(head)
    job = JOB.search(head)
    return f"Midjourney {head}" if flag or (job and ("--" in head or job[0].count("-") > 1)) else ""


def _by_keyword(name: str, text: str) -> str:
    match name:
        case "invokeai_metadata" | "invokeai_graph" | "invokeai_workflow" | "sd-metadata" | "dream":
            return f"InvokeAI {_model(_parsed(text)) or text}"
        case "generation_data":
            data = _inside(text, "baseModel")
            return f"TensorArt {_first(data, 'modelFileName', 'label')}" if data else ""
        case "use_stable_diffusion_model":
            return f"Easy Diffusion {text}"
        case "parameters" if "Negative prompt:" in text[:100_000]:
            return _by_line(text) or text
    return ""


def _graph(text: str, name: str) -> str:
    """Detect the program of a JSON text by its keys."""
    found = _comfy(text, name)
    if found:
        return found
    if '"sui_image_params"' in text:
        data = _inside(text, "sui_image_params")
        return f"SwarmUI {_model(data)} {_first(data, 'swarm_version')}"
    if '"AIGC"' in text or '"ContentProducer"' in text:
        data = _inside(text, "AIGC") or _parsed(text)
        return f"AIGC {_first(data, 'ContentProducer')}" if str(data.get("Label")) in ("1", "AIGC") else ""
    if '"use_stable_diffusion_model"' in text:
        return f"Easy Diffusion {_first(_parsed(text), 'use_stable_diffusion_model')}"
    if re.search(r'"version"\s{0,9}:\s{0,9}"Fooocus', text):
        data = _parsed(text)
        return f"{_first(data, 'version') or 'Fooocus'} {_first(data, 'base_model')}"
    if '"uc"' in text and ('"signed_hash"' in text or '"request_type"' in text):
        return "NovelAI"
    if '"uc"' in text and '"sampler"' in text and '"c"' in text:
        return f"Draw Things {_model(_parsed(text))}"
    return ""


def _comfy(text: str, name: str) -> str:
    """Return the models of a ComfyUI API graph or workflow; a prompt with braces is neither."""
    if not text.lstrip().startswith("{"):
        return ""
    models = list(dict.fromkeys(NODE_MODEL.findall(text)))
    nodes = _parsed(text).get("nodes")
    if not models and isinstance(nodes, list):
        models = list(dict.fromkeys(_loaded(nodes)))
    named = name in GRAPH_KEYWORDS and (models or WORKFLOW.search(text) or text.strip("\0 \r\n\t") == "{}")
    return f"ComfyUI {', '.join(models[:MAX_MODELS])}" if named or NODE_CLASS.search(text) else ""


def _loaded(nodes: list[Any]) -> Iterator[str]:
    """Yield the models of a workflow's loader nodes, whose widget values have no names."""
    for node in nodes:
        values = node.get("widgets_values") if isinstance(node, dict) else None
        if LOADERS.search(str(node.get("type"))[:100]) if isinstance(node, dict) else False:
            first = values[0] if isinstance(values, list) and values else None
            if isinstance(first, str):
                yield first[:200]


def _parsed(text: str) -> dict[str, Any]:
    """Parse a JSON object; empty if it is truncated or not an object."""
    try:
        data = json.loads(text.strip("\0 \r\n\t"))
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _inside(text: str, name: str) -> dict[str, Any]:
    """Parse the JSON object under a keyword."""
    inner = _parsed(text).get(name)
    return _parsed(inner) if isinstance(inner, str) else inner if isinstance(inner, dict) else {}


def _first(data: dict[str, Any], *names: str) -> str:
    values = (data.get(name) for name in names)
    return next((str(value)[:200] for value in values if isinstance(value, str | int | float)), "")


def _model(data: dict[str, Any]) -> str:
    """Return the model's name in JSON settings."""
    model = data.get("model")
    if isinstance(model, dict):
        return _first(model, "name", "model_name", "key")
    return _first(data, "model", "model_weights")
