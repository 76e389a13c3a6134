"""Build script: the extension module, the entry points and the dependencies of trf_bridge."""

from __future__ import annotations

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent

EXTENSIONS = ["trf_bridge._align"]

# Keyed by the compiler's name in setuptools. No -march=native: wheels travel. No -ffast-math:
# results must not depend on the optimizer.
COMPILE_ARGS = {"msvc": ["/O2"], "other": ["-O3", "-g0"]}

REQUIREMENTS = [
    "numpy>=2",
    "packaging",
    "rapidfuzz>=3",
    "safetensors",
    "spacy>=3.8,<4",
    "srsly",
    "thinc>=8.3,<9",
    "tokenizers",
    "torch>=2.6",
    "tqdm",
    "transformers>=4.57",
    "typer",
    "wasabi",
]

EXTRAS = {
    "cuda12x": ["cupy-cuda12x"],
    "cuda13x": ["cupy-cuda13x"],
    # What transformers asks for to read the tokenizers of XLM.
    "xlm": ["sacremoses"],
    # The tests meet sentencepiece models among real vocabularies, and make a tokenizer for XLM.
    "dev": [
        *["build", "hypothesis", "markdown-it-py", "mypy", "pytest", "pytest-xdist", "ruff"],
        # Without it pip fetches one for each wheel, and the tests do without a network.
        "setuptools>=77",
        *["protobuf", "sentencepiece", "sacremoses"],
        # How the tests of the pictures talk to Chromium.
        "websockets",
    ],
    "bench": ["matplotlib"],
    "docs": ["furo", "myst-parser", "sphinx"],
}

ENTRY_POINTS = {
    "spacy_cli": ["trf = trf_bridge.cli:app"],
    "spacy_factories": [
        "trf_wordpiecer = trf_bridge.pipes.wordpiecer:make_trf_wordpiecer",
        "trf_tok2vec = trf_bridge.pipes.tok2vec:make_trf_tok2vec",
        "trf_textcat = trf_bridge.pipes.textcat:make_trf_textcat",
    ],
    "spacy_architectures": [
        "trf_bridge.TransformerModel.v1 = trf_bridge.wrappers.models.layer:TransformerModel",
        "trf_bridge.Tok2VecListener.v1 = trf_bridge.pipes.heads.listener:Tok2VecListener",
        "trf_bridge.Tok2VecTransformer.v1 = trf_bridge.pipes.standalone:Tok2VecTransformer",
        *(
            f"trf_bridge.{name}.v1 = trf_bridge.pipes.heads.text_classifiers:{name}"
            for name in (
                "TextCatClassVector",
                "TextCatClassVectorTanh",
                "TextCatPooler",
                "TextCatMean",
            )
        ),
    ],
    "thinc_layers": [
        "trf_bridge.TransformerModel.v1 = trf_bridge.wrappers.models.layer:TransformerModel",
    ],
    "spacy_misc": [
        "trf_bridge.sentences.v1 = trf_bridge.pipes.doc.inputs:make_sentences",
        "trf_bridge.docs.v1 = trf_bridge.pipes.doc.inputs:make_docs",
        "trf_bridge.packed_sentences.v1 = trf_bridge.pipes.doc.inputs:make_packed_sentences",
    ],
    "spacy_scorers": [
        "trf_bridge.textcat_scorer.v1 = trf_bridge.pipes.textcat:make_textcat_scorer",
    ],
}


class BuildExt(build_ext):
    """Compile with the flags that the compiler at hand understands."""

    def build_extensions(self) -> None:
        kind = self.compiler.compiler_type
        for extension in self.extensions:
            extension.extra_compile_args = COMPILE_ARGS.get(kind, COMPILE_ARGS["other"])
        super().build_extensions()


def read_about() -> dict[str, str]:
    """Read about.py without importing the package, whose dependencies are not there yet."""
    about: dict[str, str] = {}
    exec((ROOT / "trf_bridge" / "about.py").read_text(encoding="utf8"), about)
    return about


def make_extensions() -> list[Extension]:
    """Translate the .pyx files; the C files go to build/ and never beside their sources."""
    extensions = [
        Extension(name, [name.replace(".", "/") + ".pyx"], language="c") for name in EXTENSIONS
    ]
    return cythonize(
        extensions, build_dir="build/cython", compiler_directives={"language_level": 3}
    )


setup(
    name="trf_bridge",
    version=read_about()["__version__"],
    description="Hugging Face transformers in spaCy pipelines, aligned to spaCy's tokens",
    long_description=(ROOT / "README.md").read_text(encoding="utf8"),
    long_description_content_type="text/markdown",
    author="trf_bridge contributors",
    license_expression="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["trf_bridge", "trf_bridge.*"]),
    package_data={
        "trf_bridge": ["*.pyx", "*.pyi", "py.typed", "cli/licenses/*.txt"],
        "trf_bridge.pictures": ["assets/*.css", "assets/*.js"],
    },
    ext_modules=make_extensions(),
    cmdclass={"build_ext": BuildExt},
    python_requires=">=3.10",
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
    entry_points=ENTRY_POINTS,
    zip_safe=False,
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS :: MacOS X",
        "Operating System :: Microsoft :: Windows",
        "Programming Language :: Cython",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
        "Typing :: Typed",
    ],
)
