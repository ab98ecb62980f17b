/** What is seen, as a file. */

import type { Colours } from "./chart";

const HEAD_PX = 40;

export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The download has begun by then, and the memory is wanted back.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A name that every file system takes. */
export function fileName(parts: readonly string[], ending: string): string {
  return `${parts.join("-").replaceAll(/[^\w.-]+/g, "_")}.${ending}`;
}

/** The drawing with a line above that says what it is. */
export async function pictureOf(drawing: HTMLCanvasElement, title: string, colours: Colours): Promise<Blob> {
  const scale = devicePixelRatio;
  const canvas = document.createElement("canvas");
  canvas.width = drawing.width;
  canvas.height = drawing.height + HEAD_PX * scale;
  const draw = canvas.getContext("2d")!;
  draw.fillStyle = colours.back;
  draw.fillRect(0, 0, canvas.width, canvas.height);
  draw.drawImage(drawing, 0, HEAD_PX * scale);
  draw.fillStyle = colours.text;
  draw.font = `${13 * scale}px ${getComputedStyle(document.body).fontFamily}`;
  draw.textBaseline = "middle";
  const middle = (HEAD_PX / 2) * scale;
  draw.fillText(title, 12 * scale, middle);
  draw.textAlign = "right";
  draw.fillText("Charts by TradingView", canvas.width - 12 * scale, middle);
  return await new Promise((done, failed) => {
    canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("the picture is too large"))), "image/png");
  });
}
