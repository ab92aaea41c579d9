/**
 * Moving through a list by the arrow keys, Home and End.
 */
import type * as React from 'react';

/** Move the focus among the elements that a selector names, within the element that listens. */
export function moveFocus(event: React.KeyboardEvent<HTMLElement>, selector: string): void {
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>(selector)];
  const focused = document.activeElement?.closest('li')?.querySelector<HTMLElement>(selector);
  const at = focused ? rows.indexOf(focused) : -1;
  const last = rows.length - 1;
  const targets: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last };
  const target = targets[event.key];
  if (target === undefined || rows.length === 0) {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
  rows[Math.min(Math.max(target, 0), last)]?.focus();
}
