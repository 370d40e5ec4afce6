// Runs in the page as the body of a function; answers with a line for each trouble.

const found = [];
const told = (element) => `${element.tagName.toLowerCase()} “${(element.textContent || element.outerHTML).trim().slice(0, 40)}”`;

if (document.querySelectorAll("h1").length !== 1) found.push(`${document.querySelectorAll("h1").length} h1`);

const ids = [...document.querySelectorAll("[id]")].filter((element) => !element.closest("svg")).map((element) => element.id);
const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
if (twice.length) found.push(`ids used twice: ${[...new Set(twice)]}`);
for (const element of document.querySelectorAll("[aria-describedby], label[for], [aria-controls]"))
  for (const name of ["aria-describedby", "for", "aria-controls"])
    for (const id of (element.getAttribute(name) ?? "").split(" ").filter(Boolean))
      if (!document.getElementById(id)) found.push(`${name} names ${id}, which is not there`);

// The script that keeps what is unfolded across swaps finds it again by its id.
for (const fold of document.querySelectorAll("main :is([ws-connect], [hx-trigger*=every]) details:not([id])"))
  found.push(`folds at the next swap, as it has no id: ${told(fold.querySelector("summary"))}`);

return found;
