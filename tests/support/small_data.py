"""Texts in many languages, hand-annotated sentences and odd strings, written for these tests.

They replace the real data of `real_data.py` where it is missing, in the same shapes.
"""

from __future__ import annotations

from functools import cache

from strategies import ACCENTED, FRAGMENTS, HOSTILE, PUNCTUATION, SPACES

Sentence = tuple[tuple[str, ...], tuple[bool, ...]]

# Language -> (paragraph, question) pairs. Each paragraph has several sentences.
PASSAGES: dict[str, list[tuple[str, str]]] = {
    "en": [
        (
            "The ferry to the island leaves at 7:45 a.m. and doesn't wait. Last year's storm "
            "(12–14 March) damaged the pier, so passengers board from a pontoon.\n\n"
            "Tickets cost $9.50; children under six travel free.",
            "When does the ferry leave?",
        ),
        (
            "Dr. Okafor's state-of-the-art lab re-ran the test three times... Nothing! “Perhaps "
            "it’s the sensor,” she wrote to ops@example.org, “or me.”",
            "Whom did Dr. Okafor write to?",
        ),
    ],
    "de": [
        (
            "Im Spätsommer fährt die Großmutter mit der Straßenbahn zum Bücherflohmarkt. Dort "
            "kauft sie für 3,50 € ein Kochbuch – „ein Schnäppchen“, wie sie sagt. Äpfel "
            "gibt's gratis!",
            "Was kauft die Großmutter?",
        ),
        (
            "Die Donaudampfschifffahrt wurde 1829 gegründet. Ob das stimmt, weiß Herr Müller "
            "nicht; er müsste im Stadtarchiv nachschlagen.",
            "Wer müsste nachschlagen?",
        ),
    ],
    "zh": [
        (
            "小李每天骑自行车上班，大约需要30分钟。昨天下雨了，所以他坐了地铁2号线。「真挤！」他说。",
            "小李昨天怎么上班？",
        ),
        ("这家书店一九九八年开业。店里有两只猫，一只叫“豆豆”，另一只叫Mimi。", "猫叫什么名字？"),
    ],
    "ar": [
        (
            "تستيقظ سلمى في الساعة السادسة صباحًا، ثم تشرب القهوة. هل تقرأ الجريدة؟ نعم، كلَّ يوم! "
            "ثمن الجريدة ٥ دراهم.",
            "متى تستيقظ سلمى؟",
        ),
        ("تقع المدينة القديمة بين نهرين؛ وفيها سوق كبير (قرب المسجد).", "أين تقع المدينة؟"),
    ],
    "hi": [
        (
            "रवि हर रविवार बाज़ार जाता है। वह ₹१२० के आम खरीदता है और पड़ोसी को देता है। क्या वह ख़ुश है? हाँ!",
            "रवि बाज़ार कब जाता है?",
        ),
        ("पुस्तकालय सुबह ९ बजे खुलता है। वहाँ तीन हज़ार क़िताबें हैं।", "पुस्तकालय कब खुलता है?"),
    ],
    "th": [
        (
            "ร้านกาแฟของน้องพลอยเปิดเวลา 8 โมงเช้า ลูกค้าส่วนใหญ่ชอบกาแฟเย็น ราคาแก้วละ ๔๕ บาท",
            "ร้านกาแฟเปิดกี่โมง?",
        ),
        ("เมื่อวานฝนตกหนัก น้ำท่วมถนน เขาจึงมาทำงานสาย", "ทำไมเขามาทำงานสาย?"),
    ],
    "ru": [
        (
            "Поезд № 17 отправляется с третьего пути. Ещё вчера билет стоил 900 руб., а сегодня — "
            "1050. «Опять подорожал!» — вздохнула Катя.",
            "Сколько стоит билет сегодня?",
        ),
        ("На озере живут лебеди; зимой их кормят школьники. Это не шутка?", "Кто кормит лебедей?"),
    ],
    "ja": [
        (
            "田中さんは毎朝６時に起きて、犬と散歩します。カフェラテは４８０円でした。「おいしい！」と言いました。",
            "田中さんは何時に起きますか。",
        ),
    ],
    "ko": [
        (
            "지하철역 앞에 새 빵집이 생겼다. 크루아상은 3,200원이고 정말 맛있다!",
            "빵집은 어디에 있나요?",
        ),
    ],
    "vi": [
        (
            "Bà Hạnh bán phở ở góc phố Hàng Đậu từ năm 1987. Một tô giá 45.000 ₫, ăn kèm quẩy.",
            "Bà Hạnh bán gì?",
        ),
    ],
}

# CoNLL-U with contractions (ranges), empty nodes (decimals), and SpaceAfter=No.
TREEBANKS = {
    "en": """
# text = She can't (won't!) sell the well-known shop.
1\tShe\t_\t_\t_\t_\t_\t_\t_\t_
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
2\tca\t_\t_\t_\t_\t_\t_\t_\t_
3\tn't\t_\t_\t_\t_\t_\t_\t_\t_
4\t(\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
5\two\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
6\tn't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
7\t!\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
8\t)\t_\t_\t_\t_\t_\t_\t_\t_
9\tsell\t_\t_\t_\t_\t_\t_\t_\t_
9.1\tsold\t_\t_\t_\t_\t_\t_\t_\t_
10\tthe\t_\t_\t_\t_\t_\t_\t_\t_
11\twell\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
12\t-\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
13\tknown\t_\t_\t_\t_\t_\t_\t_\t_
14\tshop\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
15\t.\t_\t_\t_\t_\t_\t_\t_\t_

# text = Mail: a.b@example.org... 3:0?!
1\tMail\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
2\t:\t_\t_\t_\t_\t_\t_\t_\t_
3\ta.b@example.org\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
4\t...\t_\t_\t_\t_\t_\t_\t_\t_
5\t3:0\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
6\t?!\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No

# text = A unique, unnamed international newspaper reports
1\tA\t_\t_\t_\t_\t_\t_\t_\t_
2\tunique\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
3\t,\t_\t_\t_\t_\t_\t_\t_\t_
4\tunnamed\t_\t_\t_\t_\t_\t_\t_\t_
5\tinternational\t_\t_\t_\t_\t_\t_\t_\t_
6\tnewspaper\t_\t_\t_\t_\t_\t_\t_\t_
7\treports\t_\t_\t_\t_\t_\t_\t_\t_
""",
    "de": """
# text = Im Flussbett lag „Übergröße“ Nr. 7.
1-2\tIm\t_\t_\t_\t_\t_\t_\t_\t_
1\tIn\t_\t_\t_\t_\t_\t_\t_\t_
2\tdem\t_\t_\t_\t_\t_\t_\t_\t_
3\tFlussbett\t_\t_\t_\t_\t_\t_\t_\t_
4\tlag\t_\t_\t_\t_\t_\t_\t_\t_
5\t„\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
6\tÜbergröße\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
7\t“\t_\t_\t_\t_\t_\t_\t_\t_
8\tNr.\t_\t_\t_\t_\t_\t_\t_\t_
9\t7\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
10\t.\t_\t_\t_\t_\t_\t_\t_\t_

# text = Zum Bahnhof fährt's um 8 Uhr
1-2\tZum\t_\t_\t_\t_\t_\t_\t_\t_
1\tZu\t_\t_\t_\t_\t_\t_\t_\t_
2\tdem\t_\t_\t_\t_\t_\t_\t_\t_
3\tBahnhof\t_\t_\t_\t_\t_\t_\t_\t_
4-5\tfährt's\t_\t_\t_\t_\t_\t_\t_\t_
4\tfährt\t_\t_\t_\t_\t_\t_\t_\t_
5\tes\t_\t_\t_\t_\t_\t_\t_\t_
6\tum\t_\t_\t_\t_\t_\t_\t_\t_
7\t8\t_\t_\t_\t_\t_\t_\t_\t_
8\tUhr\t_\t_\t_\t_\t_\t_\t_\t_
""",
    "zh": """
# text = 我妹妹在3月5日买了Python书。
1\t我\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
2\t妹妹\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
3\t在\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
4\t3\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
5\t月\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
6\t5\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
7\t日\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
8\t买\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
9\t了\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
10\tPython\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
11\t书\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
12\t。\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No

# text = 「好，走吧！」
1\t「\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
2\t好\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
3\t，\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
4\t走\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
5\t吧\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
6\t！\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
7\t」\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
""",
}

# Strings that often break programs: code, markup, numbers, quoting, mixed scripts and directions.
STRINGS = [
    *["null", "None", "undefined", "NaN", "-0", "1e309", "0x1F", "1,000.00", "٠١٢٣", "½⅓", "²³"],
    *["'; SELECT 1; --", '"quoted" \\"twice\\"', "${HOME} %s {0} {{x}}", "`ls`", "a && b || c"],
    *["<b>bold</b>", "&amp;&#39;", "<!-- c -->", "[link](http://example.com)", "../../file.txt"],
    *["C:\\new\\table", "user@例え.jp", "http://a.b/c?d=e&f=%20#g", "v1.2.3-rc.4+build"],
    *["İstanbul ı I i", "ßẞſﬀ", "Ǆǅǆ", "Ω≈ç√∫˜µ≤", "田Ａ倍\u3000全角", "abc\u202eאבג\u202cdef"],
    *["שלום world مرحبا", "ㅎㅎㅎ ㅠㅠ", "¯\\_(ツ)_/¯", "(╯°□°)╯", "👨‍🚀🧑🏾‍🤝‍🧑🏻", "🇺🇳🇯🇵🇧"],
    *["e\u0301\u0327\u0323", "Z\u0351\u036b\u0343a\u0334\u0321", "\u0915\u094d\u0937\u093f"],
    *[
        "\ufeffBOM",
        "tab\tand\vvertical",
        "line\u2028separator",
        "soft\u00adhyphen",
        "no\u00a0break",
    ],
    *["[CLS][SEP]", "<s> </s>", "<unk>", "▁▁", "##", "Ġ", "</w>", "@@", "<0x0A>", "<|endoftext|>"],
    *["a" * 300, "?" * 120, "ab " * 90, "٪" * 40, "\u0300" * 50],
]


@cache
def small_strings() -> list[str]:
    """Return all odd strings: those of this module, and the texts of the hypothesis strategies."""
    return [*STRINGS, *HOSTILE.values(), *FRAGMENTS, *ACCENTED, *SPACES, *PUNCTUATION]


def small_paragraphs(lang: str) -> list[str]:
    """Return the paragraphs of a language."""
    return [paragraph for paragraph, _ in PASSAGES[lang]]


@cache
def small_treebank(name: str) -> list[Sentence]:
    """Return words and spaces of the sentences of a treebank of this module."""
    return read_conllu(TREEBANKS[name])


def read_conllu(text: str) -> list[Sentence]:
    """Read words and spaces from CoNLL-U; a contraction replaces the words that it consists of."""
    sentences: list[Sentence] = []
    words: list[str] = []
    spaces: list[bool] = []
    covered = 0
    for line in [*text.splitlines(), ""]:
        fields = line.split("\t")
        if not line and words:
            sentences.append((tuple(words), tuple(spaces)))
            words, spaces, covered = [], [], 0
        elif len(fields) == 10 and "." not in fields[0]:
            first, _, last = fields[0].partition("-")
            if int(first) > covered:
                words.append(fields[1])
                spaces.append("SpaceAfter=No" not in fields[9])
                covered = int(last or first)
    return sentences
