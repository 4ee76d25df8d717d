import { expect, test } from "vitest";
import { pixel_ratio } from "../src/scene/pixel_ratio";

test("slow frames step down to one pixel, fast ones leave it, and a hitch does nothing", () => {
  const p = new pixel_ratio(3);
  expect(p.value).toBe(2);
  for (let i = 0; i < 400; i++) p.frame(i % 20 === 0 ? 200 : 16);
  expect(p.value).toBe(2);
  const steps = Array.from({ length: 200 }, () => p.frame(80)).filter(Boolean).length;
  expect([steps, p.value]).toEqual([2, 1]);
});
