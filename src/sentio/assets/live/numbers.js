// Numbers as the page writes them.

export const NONE = "–";

/** Two digits with a sign, as +0.42. */
export function signed(value) {
  if (value === null || value === undefined) return NONE;
  const text = Math.abs(value).toFixed(2);
  if (text === "0.00") return " 0.00";
  return (value < 0 ? "−" : "+") + text;
}

/** Two digits, as 0.42. */
export function plain(value) {
  return value === null || value === undefined ? NONE : value.toFixed(2);
}

/** Seconds as 1:05. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** The value below which this share of sorted numbers lies. */
export function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
