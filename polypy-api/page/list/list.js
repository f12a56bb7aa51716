// @ts-check
// A list of any length of which only the rows in sight are elements.

import { el, mark } from "../core/dom.js";

/** Rows above and below those in sight. */
const AROUND = 6;

export class List {
  /**
   * @param {{ box: any, label: string, above: () => number, height: () => number, make: () => any, show: (row: any, index: number) => void, hide?: (row: any) => void,
   *   open: (index: number) => void, onSeen: (from: number, to: number) => void, columns: number }} parts
   */
  constructor(parts) {
    this.parts = parts;
    this.count = 0;
    this.selected = 0;
    this.room = el("div", { class: "room", role: "rowgroup" });
    this.view = parts.box;
    this.view.append(this.room);
    /** Elements by the index that they show. @type {Map<number, any>} */
    this.rows = new Map();
    /** @type {any[]} */
    this.spare = [];
    this.view.addEventListener("scroll", () => this.layout(), { passive: true });
    this.view.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    this.room.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      const row = /** @type {any} */ (event.target).closest?.(".row");
      if (row) this.select(row.index, false);
    });
    this.room.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const target = /** @type {any} */ (event.target);
      const row = target.closest?.(".row");
      // A link does by itself what the reader asks for: here, or in another tab.
      if (row && !target.closest("a")) this.parts.open(row.index);
    });
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.view);
  }

  /** @param {number} count */
  size(count) {
    this.count = count;
    this.selected = Math.min(this.selected, Math.max(count - 1, 0));
    this.room.style.height = `${count * this.parts.height()}px`;
    mark(this.view, "aria-rowcount", String(count + 1));
    this.layout();
  }

  /** Which rows are in sight. */
  seen() {
    const height = this.parts.height();
    const first = Math.floor(this.view.scrollTop / height);
    return [first, Math.min(first + Math.ceil(this.inSight() / height), this.count - 1)];
  }

  /** Height that rows have, below what stays above them. */
  inSight() {
    return this.view.clientHeight - this.parts.above();
  }

  layout() {
    const height = this.parts.height();
    const [first, last] = this.seen();
    const [from, to] = [Math.max(first - AROUND, 0), Math.min(last + AROUND, this.count - 1)];
    for (const [index, row] of this.rows) {
      if (index >= from && index <= to) continue;
      this.rows.delete(index);
      this.parts.hide?.(row);
      row.remove();
      this.spare.push(row);
    }
    // Elements are in the order of their rows, which is the order in which they are read out.
    let below = null;
    for (let index = to; index >= from; index -= 1) {
      let row = this.rows.get(index);
      if (!row) {
        row = this.spare.pop() ?? this.parts.make();
        row.index = index;
        mark(row, "aria-rowindex", String(index + 2));
        this.rows.set(index, row);
      }
      if (row.parentNode !== this.room || row.nextSibling !== below) this.room.insertBefore(row, below);
      below = row;
      row.style.transform = `translateY(${index * height}px)`;
      mark(row, "aria-selected", String(index === this.selected));
      mark(row, "id", `row-${index}`);
      this.parts.show(row, index);
    }
    mark(this.view, "aria-activedescendant", this.rows.has(this.selected) ? `row-${this.selected}` : null);
    this.parts.onSeen(from, Math.max(to, 0));
  }

  /** Rows show something else now: all of them, or those that are meant. @param {(row: any) => boolean} [isMeant] */
  repaint(isMeant) {
    for (const [index, row] of this.rows) if (!isMeant || isMeant(row)) this.parts.show(row, index);
  }

  /** @param {number} index @param {boolean} [scroll] */
  select(index, scroll = true) {
    this.selected = Math.min(Math.max(index, 0), Math.max(this.count - 1, 0));
    const height = this.parts.height();
    const top = this.selected * height;
    if (scroll && top < this.view.scrollTop) this.view.scrollTop = top;
    else if (scroll && top + height > this.view.scrollTop + this.inSight()) this.view.scrollTop = top + height - this.inSight();
    this.layout();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(Math.floor(this.inSight() / this.parts.height()) - 1, 1);
    const by = /** @type {Record<string, number>} */ ({ ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -1e9, End: 1e9 })[event.key];
    if (by !== undefined) {
      event.preventDefault();
      this.select(this.selected + by);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.parts.open(this.selected);
    }
  }

  /** Where one is in it. */
  place() {
    return { top: this.view.scrollTop, selected: this.selected, count: this.count };
  }

  /** As it was when it was left. @param {{ top: number, selected: number, count: number }} place */
  at({ top, selected, count }) {
    this.selected = selected;
    this.size(count);
    this.view.scrollTop = top;
    this.layout();
  }

  top() {
    this.selected = 0;
    this.view.scrollTop = 0;
  }

  end() {
    this.observer.disconnect();
  }
}
