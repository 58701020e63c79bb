"""Markup of the report. A Python string rather than a data file: it is installed wherever the package is."""

from typing import Final

HTML: Final = """{# A cell's name has no spaces: it may break after a comma. #}
{%- macro broken(text) %}{% for part in text.split(",") %}{{ part }}{% if not loop.last %},<wbr>{% endif %}{% endfor %}
{%- endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.study }}</title>
<style>
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem .8rem 3rem; max-width: 44rem; background: #fff; color: #1a1a1a;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.25rem; line-height: 1.4; font-weight: 600; margin: 0 0 .6rem;
  border-left: .3rem solid #0072B2; padding-left: .7rem; }
p.verdict { font-size: 1.1rem; font-weight: 600; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; padding-top: .6rem; border-top: 1px solid #d0d0d0; }
p { margin: .4rem 0; }
p.study { color: #555; }
.wide { overflow-x: auto; }
p.note { font-size: .9rem; color: #444; margin: .8rem 0 .2rem; }
pre { margin: 0; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: right; vertical-align: top; border-bottom: 1px solid #e4e4e4; }
th { font-weight: 600; }
th:first-child { text-align: left; font-weight: 400; min-width: 6rem; }
thead th:first-child { font-weight: 600; }
thead th { border-bottom: 1px solid #888; vertical-align: bottom; }
section.provenance td { text-align: left; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .78rem;
  overflow-wrap: anywhere; }
section.provenance thead { display: none; }
pre { font-size: .8rem; background: #f4f4f4; padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: .8rem 0 1.6rem; }
figure svg { display: block; width: 100%; max-width: 34rem; height: auto; }
figcaption { font-size: .88rem; color: #444; max-width: 34rem; }
@media (max-width: 30rem) { table { font-size: .8rem; } th, td { padding-right: .5rem; }
  th:first-child { min-width: 5rem; } }
@media print { body { max-width: none; font-size: 10pt; } figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; } .wide { overflow: visible; } figure svg { max-width: 12cm; } }
</style>
</head>
<body>
{% for verdict in report.verdicts %}
{% if loop.first %}<h1>{{ verdict }}</h1>{% else %}<p class="verdict">{{ verdict }}</p>{% endif %}
{% endfor %}
<p class="study">{{ report.study }}{% if report.question %}: {{ report.question }}{% endif %}</p>
{% for section in report.sections %}
<section class="{{ section.heading.split()[0]|lower }}">
<h2>{{ section.heading }}</h2>
{% for paragraph in section.paragraphs %}<p>{{ paragraph }}</p>
{% endfor %}
{% for note, command in section.commands %}<p class="note">{{ note }}</p>
<pre>{{ command }}</pre>
{% endfor %}
{% for table in section.tables %}<div class="wide"><table>
<thead><tr>{% for cell in table.header %}<th scope="col">{{ broken(cell) }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}<tr><th scope="row">{{ broken(row[0]) }}</th>
{%- for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% endfor %}
{% for picture in section.pictures %}<figure>
{{ svgs[picture.name] }}
<figcaption>{{ picture.reading }}</figcaption>
</figure>
{% endfor %}
</section>
{% endfor %}
</body>
</html>
"""

MARKDOWN: Final = """{% for verdict in report.verdicts %}**{{ verdict|md }}**

{% endfor %}
{{ report.study|md }}{% if report.question %}: {{ report.question|md }}{% endif %}


{% for section in report.sections %}
## {{ section.heading }}

{% for paragraph in section.paragraphs %}
{{ paragraph|md }}

{% endfor %}
{% if section.commands %}
```
{% for note, command in section.commands %}
# {{ note|code }}
{{ command|code }}
{% endfor %}
```

{% endif %}
{% for table in section.tables %}
| {{ table.header|map('md')|join(' | ') }} |
|{{ ' --- |' * table.header|length }}
{% for row in table.rows %}
| {{ row|map('md')|join(' | ') }} |
{% endfor %}

{% endfor %}
{% for picture in section.pictures %}
![{{ picture.reading }}](figures/{{ picture.name }}.svg)

{{ picture.reading }}

{% endfor %}
{% endfor %}
"""
