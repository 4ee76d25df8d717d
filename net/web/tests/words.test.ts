import { expect, test } from "vitest";
import { service_address_of } from "../src/stream/connection";
import { empty_notice } from "../src/ui/words";

const tabs = (page: string): Map<string,
  string> => new Map(empty_notice(service_address_of(new URL(page))).tabs!.map((t) => [t.label, t.code]));

test("without a token each tab says what to type, and none speaks of one", () => {
  const t = tabs("http://host:8080/");
  expect([...t.keys()]).toEqual(["Python", "HTTP", "Shared memory", "A folder"]);
  expect(t.get("Python")).toContain('tessera_client.connect("http://host:8080") as');
  expect(t.get("HTTP")).toContain("curl http://host:8080/v1/keyframes ");
  expect(t.get("Shared memory")).toContain("tessera serve shm:/my_scan_\n");
  expect(t.get("A folder")).toBe("tessera publish rgbd:FOLDER --to http://host:8080");
  for (const code of t.values()) expect(code).not.toMatch(/token/i);
});

test("with a token each tab shows it in the way that its program takes it, and the token itself stays out", () => {
  const t = tabs("http://host:8080/?token=s3cret");
  expect(t.get("Python")).toContain('connect("http://host:8080", token="YOUR_TOKEN")');
  expect(t.get("HTTP")).toContain("-H 'Authorization: Bearer YOUR_TOKEN'");
  expect(t.get("A folder")).toBe("TESSERA_TOKEN=YOUR_TOKEN tessera publish rgbd:FOLDER --to http://host:8080");
  for (const code of t.values()) expect(code).not.toMatch(/s3cret|--token/);
});

test("behind https there is no tab for the program that knows no TLS", () => {
  const t = tabs("https://host/maps/?token=s3cret");
  expect([...t.keys()]).toEqual(["Python", "HTTP", "Shared memory"]);
  expect(t.get("HTTP")).toContain("curl https://host/maps/v1/keyframes ");
});
