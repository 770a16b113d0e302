"""Make the pages of `dvc plots` work without internet access; run it once in each clone.

DVC's page loads Vega, which draws the plots, from the internet. This script writes a page template that
contains Vega, and sets it in `.dvc/config.local`.
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
