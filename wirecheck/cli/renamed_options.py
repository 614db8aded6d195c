"""Commands that still accept the old names of options."""

from __future__ import annotations

import click

from wirecheck.run.renamed_options import with_new_names


class RenamedOptions(click.Command):
    """A command that replaces old names of options, with a warning."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments under their new names."""
        return super().parse_args(ctx, list(with_new_names(args)))
