// What differs from run to run (times, ids, ports) becomes the same, and nothing moves. Then all that is left to differ
// is the page.
const style = document.createElement("style");
style.textContent = "*, *::before, *::after { animation: none !important; transition: none !important; caret-color: transparent !important }";
document.head.append(style);
// The tests' server speaks no WebSocket, which a page tells after some seconds.
document.getElementById("offline")?.remove();
const same = [
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "00000000-0000-0000-0000-000000000000"],
  [/\b\d{1,2} (Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)[a-z]* \d{4}/g, "27 Nov 2026"],
  [/\b\d{1,2}:\d{2}(:\d{2})?\b/g, "12:00"],
  [/\ban? (second|minute|hour) ago\b/g, "1 min ago"],
  [/\b\d+\s(seconds?|minutes?|hours?|s|min|h)\b/g, "1 min"],
  [/\bFinished now\b/g, "Finished 1 min ago"],
  [/\b[0-9a-f]{8}\b/g, "00000000"],
  [/127\.0\.0\.1:\d+/g, "127.0.0.1:8000"],
];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode;
  node.data = same.reduce((text, [pattern, fixed]) => text.replace(pattern, fixed), node.data);
}
