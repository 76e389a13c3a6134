"""Build the extension module. All metadata is in pyproject.toml."""

from __future__ import annotations

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

EXTENSIONS = ["trf_bridge._align"]

# Keyed by setuptools' name of the compiler. No -march=native: wheels run on other machines. No
# -ffast-math: results must not depend on the optimizer.
COMPILE_ARGS = {"msvc": ["/O2"], "other": ["-O3", "-g0"]}


class BuildExt(build_ext):
    """Compile with the flags of the compiler in use."""

    def build_extensions(self) -> None:
        """Set the flags of each extension, then build them."""
        kind = self.compiler.compiler_type
        for extension in self.extensions:
            extension.extra_compile_args = COMPILE_ARGS.get(kind, COMPILE_ARGS["other"])
        super().build_extensions()


def make_extensions() -> list[Extension]:
    """Translate the .pyx files to C files, which are stored in build/cython."""
    extensions = [
        Extension(name, [name.replace(".", "/") + ".pyx"], language="c") for name in EXTENSIONS
    ]
    return cythonize(
        extensions, build_dir="build/cython", compiler_directives={"language_level": 3}
    )


setup(ext_modules=make_extensions(), cmdclass={"build_ext": BuildExt})
