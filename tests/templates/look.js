// What a person would see of a page, in figures.
() => {
  const numbers = (color) => color.match(/[\d.]+/g).map(Number);

  const backgroundBehind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [red, green, blue, alpha = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [red, green, blue];
      if (alpha > 0) throw new Error(`${at.tagName} has a background that shines through`);
    }
    throw new Error("nothing has a background");
  };

  // WCAG 2.2: relative luminance and contrast ratio.
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };

  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const [text, element] = [walker.currentNode.textContent.trim(), walker.currentNode.parentElement];
    if (text && element.checkVisibility() && element.tagName !== "STYLE") {
      const style = getComputedStyle(element);
      texts.push({
        text,
        size: parseFloat(style.fontSize),
        contrast: contrast(numbers(style.color), backgroundBehind(element)),
      });
    }
  }
  return {
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    width: document.querySelector(".card")?.getBoundingClientRect().width ?? 0,
    brightness: luminance(backgroundBehind(document.body)),
    texts,
    buttons: [...document.querySelectorAll(".button a")].map((button) => button.getBoundingClientRect().height),
    images: [...document.images].map((image) => ({ alt: image.alt, width: image.naturalWidth })),
  };
}
