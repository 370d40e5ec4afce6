// The tour's hint: it takes the focus when it is new, shows what it points at, and ends by Escape.

const tour = document.getElementById("tour");
const { step, target } = tour.dataset;

if (step && sessionStorage.getItem("tour") !== step) {
  sessionStorage.setItem("tour", step);
  if (document.activeElement === document.body) tour.focus();
}

tour.addEventListener("click", (event) => {
  const place = event.target.closest("[data-action=tour-target]") && document.getElementById(target);
  if (!place) return;
  event.preventDefault();
  place.scrollIntoView({ block: "center" });
  if (place.matches("a, button, input, select, textarea")) return place.focus();
  place.tabIndex = -1;
  place.focus();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (!tour.contains(event.target) && !(step && event.target === document.body)) return;
  const end = document.getElementById("tour-end") ?? document.getElementById("tour-next");
  end.form.requestSubmit();
});
