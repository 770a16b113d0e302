"""Make the pages of `dvc plots` open with no network: run once in a clone.

DVC's own page loads Vega, which draws the plots, from the network. This writes a page that has Vega in
it, and names it in `.dvc/config.local`.
"""

import subprocess
from pathlib import Path

import vl_convert

PAGE = Path(__file__).parents[1] / ".dvc" / "plots.html"
HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>DVC plots</title>
{refresh_tag}
<script>%s</script>
<body>
{plot_divs}
</body>
</html>
"""


def main() -> None:
    vega = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    PAGE.write_text(HTML % vega, encoding="utf-8")
    subprocess.run(
        ["dvc", "config", "--local", "plots.html_template", PAGE.name], cwd=PAGE.parent, check=True
    )


if __name__ == "__main__":
    main()
