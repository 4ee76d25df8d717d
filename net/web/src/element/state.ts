// In what state <tessera-view> is, and the line that says so. Pure functions.

import type { TesseraState } from "../../element";
import type { connection_state, service_address } from "../stream/connection";

/// Causes that waiting does not cure.
const errors = new Set(["token", "foreign", "protocol"]);

/// What the page around the element is told. While a lost connection is tried again it stays lost: `before` is what was told
/// last.
export function state_of(s: connection_state, address: service_address, page_host: string, before: TesseraState): TesseraState {
  if (s.name === "live") return { name: "online", reason: "" };
  if (s.name === "connecting") return before.name === "offline" || before.name === "error" ? before
    : { name: "connecting", reason: before.reason };
  if (s.cause === "no_map") return { name: "connecting", reason: s.detail };
  const stranger = s.cause === "unreachable" && !address.token && address.host !== page_host;
  const hint = stranger ? "; a page of another site gets an answer only with a token" : "";
  return { name: errors.has(s.cause) ? "error" : "offline", reason: s.detail + hint };
}

const capital = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);

/// Empty if the map speaks for itself.
export function line_of(state: TesseraState, wait_s: number, empty: boolean): string {
  if (state.name === "online") return empty ? "Live: the map is empty" : "";
  if (state.name === "connecting") return state.reason ? capital(state.reason) : "Connecting";
  const words = state.name === "offline" ? `Offline: ${state.reason}` : capital(state.reason);
  return wait_s > 0 ? `${words} · retry in ${wait_s} s` : words;
}
