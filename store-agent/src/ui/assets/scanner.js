// Reads scanners: they type like very fast people and end with Enter or Tab. It is loaded before anything that could take a key, so
// that a page hears all keys that come to it. A code of which a key may be missing is never used: it is told as lost.
(() => {
  'use strict';
  // A scanner's keys are less than FAST apart. After PAUSE without a key, what comes next begins anew.
  const FAST = 40, PAUSE = 200, SHORTEST = 4, LEAVING_MS = 60000;
  const scanner = window.scanner = { heard: [], listener: undefined };
  let typed, lastKey = -PAUSE, steadySince = Infinity, leavingSince, isDownload = false;

  // What was scanned; `undefined` for a code that was lost.
  const tell = (code) => { if (scanner.listener) scanner.listener(code); else scanner.heard.push(code); };

  // ---- Since when a code that begins here is sure to come here whole.
  const steady = () => {
    steadySince = performance.now();
    setTimeout(() => { document.documentElement.dataset.scanner = 'ready'; }, PAUSE);
  };
  // Two frames after the page is there it has been painted; before that a browser may throw keys away.
  addEventListener('DOMContentLoaded', () => requestAnimationFrame(() => requestAnimationFrame(steady)));
  addEventListener('focus', () => { if (steadySince !== Infinity) steady(); });

  // ---- On the way to another page nothing is sent any more: nobody would see what became of it.
  addEventListener('submit', (event) => { isDownload = 'download' in event.target.dataset; }, true);
  addEventListener('beforeunload', () => { leavingSince = isDownload ? undefined : performance.now(); isDownload = false; });
  const isLeaving = () => leavingSince !== undefined && performance.now() - leavingSince < LEAVING_MS;
  // The end of a code that began here comes to the next page, or to none.
  addEventListener('pagehide', () => {
    if (typed && typed.fast + 1 >= SHORTEST && performance.now() - lastKey < PAUSE) sessionStorage.setItem('torn', '1');
  });
  if (sessionStorage.getItem('torn')) { sessionStorage.removeItem('torn'); tell(undefined); }

  // ---- Keys. Where they land does not matter: what leaked into a field is taken out again.
  const takesText = (field) => field && (field.tagName === 'TEXTAREA'
    || (field.tagName === 'INPUT' && !['checkbox', 'radio', 'submit', 'button', 'hidden'].includes(field.type)));
  const keep = (field) => ({ field, value: field.value, start: field.selectionStart, end: field.selectionEnd });
  const begun = (event) => {
    const isWhole = event.timeStamp - steadySince >= PAUSE;
    const leak = takesText(event.target) ? keep(event.target) : undefined;
    // Keys of the same code may have come here before this one.
    if (leak && !isWhole) leak.value = leak.field.defaultValue;
    return { text: '', fast: 0, slow: 0, isWhole, leak };
  };
  const putBack = ({ leak }) => {
    if (!leak) return;
    leak.field.value = leak.value;
    try { leak.field.setSelectionRange(leak.start, leak.end); } catch { /* not every field has a cursor */ }
  };

  const ended = (event, gap) => {
    const done = typed;
    typed = undefined;
    if (!done || gap < 0 || gap >= PAUSE) return;
    const isScanned = done.fast > done.slow && done.fast + 1 >= SHORTEST;
    const isTail = !done.isWhole && gap < FAST;
    if (!isScanned && !isTail) return;
    // A page that takes no scans leaves a whole code in the field where it was typed: that may be what is wanted.
    if (done.leak && done.isWhole && !isLeaving() && !document.querySelector('form[data-scan]')) return;
    event.preventDefault();
    event.stopPropagation();
    putBack(done);
    // Whoever is on the way to another page reads it there.
    if (isLeaving()) sessionStorage.setItem('torn', '1');
    tell(done.isWhole && done.slow === 0 && !isLeaving() ? done.text : undefined);
  };

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    // When the key was struck, not when this page found the time to look.
    const gap = event.timeStamp - lastKey;
    lastKey = event.timeStamp;
    if (event.key === 'Escape') leavingSince = undefined;
    if (event.key === 'Enter' || event.key === 'Tab') { ended(event, gap); return; }
    if (event.key.length !== 1) return;
    if (!typed || gap < 0 || gap >= PAUSE) typed = begun(event);
    // A key that is held down comes as fast as a scanner's.
    else if (gap < FAST && !event.repeat) typed.fast += 1;
    else typed.slow += 1;
    typed.text += event.key;
  }, true);
})();
