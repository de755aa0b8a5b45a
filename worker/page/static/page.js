// What is renewed is changed only where it differs, so that focus and scrolling stay where they are.
document.addEventListener("htmx:sseBeforeMessage", (event) => {
  event.preventDefault();
  Idiomorph.morph(event.target, event.detail.data, { morphStyle: "innerHTML" });
});
