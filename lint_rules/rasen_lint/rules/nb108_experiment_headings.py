"""NB108: a notebook tells an experiment, from purpose to next action."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rasen_lint.context import Role
from rasen_lint.document import Document
from rasen_lint.finding import Finding, Severity
from rasen_lint.headings import find_headings
from rasen_lint.rules.nb102_title import has_title

# Each part of an experiment: English words that a heading may begin or end with, words that must be all of it, and
# Japanese that may stand anywhere in it.
_PARTS = {
    "purpose": (
        r"purposes?|objectives?|goals?|aims?|research questions?|questions?|hypothes[ie]s",
        "why",
        "目的(?!変数|関数)|ねらい|狙い|目標|ゴール|仮説",
    ),
    "background": (
        r"backgrounds?|context|introduction|motivation|problem(?: statement)?",
        "intro",
        "背景|経緯|はじめに|動機|課題設定",
    ),
    "method": (
        r"methods?|methodology|approach(?:es)?|procedures?|model(?:l?ing)?|experiment(?:al)? (?:design|setup|set-up)",
        "experiment",
        "方法|手法|手順|アプローチ|モデリング|実験設定",
    ),
    "data set": (
        r"data ?-?sets?|data sources?|data used|data description|input data",
        "data",
        "データセット|データソース|(?:使用|利用|対象|入力)データ|データの?(?:概要|説明|について)|^データ(?:$|と)|とデータ$",
    ),
    "result": (r"results?|findings|outcomes?", "evaluation", "結果|成果"),
    "discussion": (
        r"discussions?|conclusions?|interpretations?|limitations|lessons learned",
        "summary",
        "考察|議論|結論|まとめ|解釈|ディスカッション",
    ),
    "next action": (
        r"next actions?|next steps?|next|action items?|actions|future work|follow[ -]?ups?|outlook",
        "to ?-?do",
        "次の(?:アクション|ステップ|一手|行動|手)|ネクスト ?(?:アクション|ステップ)|今後|次回",
    ),
}
_LONGEST = 300  # what is longer is no heading of a part
_NUMBER = re.compile(r"^[\W\d_]+|[\W_]+$")
_BETWEEN = re.compile(r"\s+(?:and|or)\s+|\s*[&/,;:+|・、／＆：]\s*|\s+[-–—]+\s+")
_ARTICLE = re.compile(r"^(?:the|our|my|a|an)\s+")
_PATTERNS = {
    part: re.compile(rf"^(?:{words})\b|\b(?:{words})$|^(?:{whole})$|{japanese}")
    for part, (words, whole, japanese) in _PARTS.items()
}


class ExperimentHeadings:
    """Check that the headings of a notebook tell an experiment from its purpose to the next action.

    What it does:
        Looks for headings, at any level and in any order, that stand for purpose, background, method, data set,
        result, discussion and next action: these words, their usual synonyms ("Conclusion", "Next steps"), or Japanese
        (目的, 背景, 方法, データセット, 結果, 考察, 次のアクション). One heading may stand for two ("Data set and
        method"). Notebooks that a gate or the evaluation of a live model runs are left alone, and one without any
        heading at the top is NB102's.

    Why it is bad:
        A notebook is the record of an experiment and, once published, the model's card. Half a year later the numbers
        are worth as much as what is written about them: what was asked, on which data, what was concluded, what comes
        next. What was concluded by nobody is tried again by somebody.

    Example:
        A notebook with the headings "Train" and "Plots".

    Use instead:
        `## Purpose`, `## Background`, `## Data set`, `## Method`, `## Result`, `## Discussion` and `## Next action`,
        each with a sentence or two; the snippet "experiment headings" inserts them.
    """

    code = "NB108"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield at most one finding, for the whole notebook, that lists the headings that are missing."""
        if document.context.role in {Role.GATE, Role.EVALUATION} or not has_title(document):
            return
        headings = [heading for cell in document.notebook.cells for heading in find_headings(cell)]
        parts = [part for heading in headings for part in _split(heading)]
        missing = [name for name, pattern in _PATTERNS.items() if not any(map(pattern.search, parts))]
        if missing:
            yield Finding(
                code=self.code,
                severity=self.severity,
                message=f"no heading for {_list(missing)}; a notebook tells an experiment: "
                f"{', '.join(_PATTERNS)}, each under a heading of its own",
            )


def _split(heading: str) -> Iterator[str]:
    """Yield what a heading names, in lower case, without numbers, articles and decoration."""
    for part in _BETWEEN.split(_NUMBER.sub("", heading[:_LONGEST].lower())):
        plain = _ARTICLE.sub("", _NUMBER.sub("", part))
        if plain:
            yield plain


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
