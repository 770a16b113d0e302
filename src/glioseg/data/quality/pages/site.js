// What the pages' own buttons call, without jQuery and Bootstrap.
"use strict";

const PASSED = ".hide-succeeded-validation-target, .hide-succeeded-validation-target-child";
const PASSED_COLUMN = ".hide-succeeded-validations-column-section-target-child";

function showPassed(shown) {
  const display = shown ? "" : "none";
  document.querySelectorAll(PASSED).forEach((mark) => {
    const row = mark.closest("tr") || mark;
    row.style.display = display;
  });
  document.querySelectorAll(PASSED_COLUMN).forEach((mark) => {
    const section = mark.closest(".ge-section");
    if (!section) return;
    section.style.display = display;
    document.querySelectorAll(`a[href="#${section.id}"]`).forEach((link) => { link.style.display = display; });
  });
}

function showAllValidations() { showPassed(true); }
function hideSucceededValidations() { showPassed(false); }

document.addEventListener("click", (event) => {
  const opener = event.target.closest('[data-toggle="collapse"]');
  if (!opener) return;
  event.preventDefault();
  const target = opener.getAttribute("href") || opener.dataset.target;
  document.getElementById(target.slice(1))?.classList.toggle("show");
});

document.querySelector("input.filter")?.addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  document.querySelectorAll("tbody tr").forEach((row) => {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
});
