"""`python -m infra.docs`: tells which made pages are out of date; `--write` renews them."""

import rich_click as click

from infra.docs import FOLDER, PAGES


@click.command()
@click.option("--write", is_flag=True, help="Renew the pages that are out of date.")
@click.pass_context
def main(context: click.Context, *, write: bool) -> None:
    """Compare the pages that are made from code with the code; ends with 1 where they differ."""
    stale = 0
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if path.is_file() and path.read_text() == text:
            continue
        if write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        else:
            stale += 1
        click.echo(f"docs/{name} {'is renewed' if write else 'is out of date'}")
    context.exit(1 if stale else 0)


if __name__ == "__main__":
    main(prog_name="python -m infra.docs")
