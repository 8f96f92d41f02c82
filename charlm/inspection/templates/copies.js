// 5. Copied or new: the left and right arrow keys step through the matches of a text, and the line above says their length.

for (const text of document.querySelectorAll("#copied .text")) {
  const marks = [...text.querySelectorAll("mark")];
  const say = (target) => {
    const n = marks.indexOf(target);
    if (n >= 0) text.previousElementSibling.textContent = `${target.title} (${n + 1} of ${marks.length})`;
  };
  text.addEventListener("mouseover", (event) => say(event.target));
  text.addEventListener("focusin", (event) => say(event.target));
  text.addEventListener("keydown", (event) => {
    const direction = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!direction || !marks.length || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const n = marks.indexOf(document.activeElement);
    const next = n < 0 ? (direction > 0 ? 0 : marks.length - 1) : n + direction;
    marks[Math.min(Math.max(next, 0), marks.length - 1)].focus();
  });
}
