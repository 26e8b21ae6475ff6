// Keeps a page of the store fresh and reads scanners. Everything works without it, with a reload here and there; nothing is kept
// in the browser. What is said aloud or shown comes from the page itself, in its language.
(() => {
  'use strict';
  const $ = (id) => document.getElementById(id);
  const words = () => $('words').dataset;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');

  const age = (ms) => {
    const seconds = Math.floor(ms / 1000);
    if (seconds < 60) return fill(words().seconds, { count: seconds });
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return fill(words().minutes, { count: minutes });
    return fill(words().hours, { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
  };

  // ---- What is said to everybody, also to those who listen.
  const say = (text) => {
    const place = $('said');
    place.textContent = '';
    // Two steps, or a reader takes the same words twice for nothing new.
    setTimeout(() => { place.textContent = text; }, 50);
  };

  // ---- Sounds, made here: no file, no download. Browsers allow them once somebody has touched the page.
  let audio;
  const tone = (frequency, from, length) => {
    const [note, volume] = [audio.createOscillator(), audio.createGain()];
    note.frequency.value = frequency;
    volume.gain.setValueAtTime(0.25, audio.currentTime + from);
    volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + from + length);
    note.connect(volume).connect(audio.destination);
    note.start(audio.currentTime + from);
    note.stop(audio.currentTime + from + length);
  };
  const sounds = {
    fresh: [[660, 0, 0.18], [880, 0.2, 0.3]],
    good: [[1175, 0, 0.12]],
    wrong: [[196, 0, 0.28], [165, 0.3, 0.4]],
  };
  const sound = (name) => {
    try {
      audio ??= new AudioContext();
      if (audio.state === 'suspended') audio.resume();
      if (audio.state === 'running') sounds[name].forEach((note) => tone(...note));
    } catch { /* A screen without sound still shows and says everything. */ }
    document.body.dataset.lastSound = name;
  };
  document.addEventListener('pointerdown', () => { try { audio ??= new AudioContext(); audio.resume(); } catch { /* as above */ } }, { once: true });

  // ---- The store server's clock: countdowns go by it, not by the tablet's.
  let clockAhead = Number(document.body.dataset.now) - Date.now();
  const serverNow = () => Date.now() + clockAhead;
  const countDown = () => {
    for (const place of document.querySelectorAll('[data-until]')) {
      const left = Number(place.dataset.until) - serverNow();
      const text = Math.abs(left) < 60000 ? words().now
        : fill(left > 0 ? words().in : words().late, { age: age(Math.abs(left)) });
      if (place.textContent !== text) place.textContent = text;
      place.classList.toggle('is-late', left < 0);
      place.classList.toggle('is-soon', left >= 0 && left < 15 * 60000);
    }
  };

  // ---- The line between this screen and the store server.
  let source, heardAt = performance.now(), startedAt, isLost = false, retry;
  const tell = (name) => document.body.dispatchEvent(new CustomEvent(name));
  const light = () => {
    const silent = performance.now() - heardAt;
    const lost = silent > 7000;
    const [lamp, says] = [$('screen-light'), $('screen-says')];
    if (lamp) {
      lamp.dataset.light = lost ? 'down' : 'up';
      const text = lost ? fill(words().lostFor, { age: age(silent) }) : words().connected;
      if (says.textContent !== text) says.textContent = text;
    }
    if (lost && !isLost) $('lost').textContent = words().lost;
    if (!lost && isLost) $('lost').textContent = '';
    isLost = lost;
    document.body.classList.toggle('is-lost', lost);
  };
  const heard = () => { heardAt = performance.now(); if (isLost) light(); };
  const door = (path) => {
    const here = location.pathname + location.search;
    location.replace(`${path}?next=${encodeURIComponent(here)}`);
  };
  const isDoor = () => ['/locked', '/sign-in', '/pair', '/set-up'].includes(location.pathname);
  const open = () => {
    clearTimeout(retry);
    if (source || document.hidden || !document.body.dataset.live) return;
    source = new EventSource(document.body.dataset.live);
    source.addEventListener('hello', (event) => {
      heard();
      // Whatever happened while nobody listened is fetched now.
      if (startedAt !== undefined) ['orders', 'sync'].forEach(tell);
      if (startedAt !== undefined && startedAt !== event.data) say(words().back);
      startedAt = event.data;
      document.body.dataset.stream = 'open';
    });
    source.addEventListener('ping', (event) => { heard(); clockAhead = Number(event.data) - Date.now(); });
    source.addEventListener('orders', () => { heard(); tell('orders'); });
    source.addEventListener('sync', () => { heard(); tell('sync'); });
    source.addEventListener('locked', () => { close(); if (!isDoor()) door('/locked'); });
    source.addEventListener('out', () => { close(); door('/sign-in'); });
    source.onerror = () => {
      close();
      retry = setTimeout(open, 1000);
    };
  };
  const close = () => {
    source?.close();
    source = undefined;
    document.body.dataset.stream = 'closed';
  };
  // A page nobody sees holds no stream: a browser has six connections to one host.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) { clearTimeout(retry); close(); } else { heardAt = performance.now(); open(); }
  });
  window.addEventListener('pagehide', close);

  // ---- New orders: the badge in the menu, a sound, and words.
  const badge = (count) => {
    for (const place of document.querySelectorAll('[data-badge="orders"]')) {
      place.hidden = count === 0;
      place.textContent = count;
    }
  };
  let fresh;
  const lookAtStatus = () => {
    const status = $('status');
    if (!status) return;
    const count = Number(status.dataset.fresh);
    if (fresh !== undefined && count > fresh) { sound('fresh'); say(words().newOrder); }
    fresh = count;
    badge(count);
    light();
  };

  // ---- What an act became: each outcome is said and heard once.
  let told;
  const lookAtOutcome = () => {
    const outcome = document.querySelector('[data-outcome]');
    if (!outcome || outcome.dataset.reference === told) return;
    told = outcome.dataset.reference;
    sound(outcome.dataset.outcome === 'refused' ? 'wrong' : 'good');
    say(outcome.textContent);
  };

  // ---- Scanners type like very fast people and end with Enter. Where the keys land does not matter: what leaked into a field is
  // taken out again, and the code goes to the form of this page that takes scans.
  const FAST = 40, SHORTEST = 4;
  let burst = '', lastKey = 0, leaked;
  const scans = [];
  let busy = false;
  const keep = (field) => ({ field, value: field.value, start: field.selectionStart, end: field.selectionEnd });
  const takesText = (field) => field && (field.tagName === 'TEXTAREA'
    || (field.tagName === 'INPUT' && !['checkbox', 'radio', 'submit', 'button', 'hidden'].includes(field.type)));
  const putBack = () => {
    if (!leaked) return;
    leaked.field.value = leaked.value;
    try { leaked.field.setSelectionRange(leaked.start, leaked.end); } catch { /* not every field has a cursor */ }
    leaked = undefined;
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    // When the key was struck, not when this page found the time to look.
    const now = event.timeStamp;
    const isFast = now >= lastKey && now - lastKey < FAST;
    lastKey = now;
    if (event.key === 'Enter' || event.key === 'Tab') {
      const code = burst;
      burst = '';
      if (isFast && code.length >= SHORTEST && scanned(code)) {
        event.preventDefault();
        event.stopPropagation();
        putBack();
      }
      leaked = undefined;
      return;
    }
    if (event.key.length !== 1) return;
    if (!isFast) {
      burst = '';
      leaked = takesText(event.target) ? keep(event.target) : undefined;
    }
    burst += event.key;
  }, true);

  const scanForm = () => document.querySelector('form[data-scan]');
  const scanned = (code) => {
    if (!scanForm()) return false;
    scans.push(code);
    next();
    return true;
  };
  // One after the other: each is decided on the page that the one before has left.
  const next = async () => {
    if (busy || scans.length === 0) return;
    busy = true;
    const form = scanForm();
    const code = scans.shift();
    if (form) {
      form.elements[form.dataset.scanField ?? 'code'].value = code;
      // A form that is more than a scan is sent as people send it.
      if (form.dataset.smooth) await send(form); else form.requestSubmit();
    }
    busy = false;
    next();
  };

  // ---- Forms that change only a part of the page: sent without leaving it.
  const send = async (form, button) => {
    try {
      const answer = await fetch(form.action, {
        method: 'POST', body: new URLSearchParams(new FormData(form, button)), credentials: 'same-origin',
        headers: { 'HX-Request': 'true' },
      });
      const goTo = answer.headers.get('HX-Redirect');
      if (goTo) { location.assign(goTo); return; }
      show(await answer.text(), answer, form.dataset.smooth);
    } catch {
      sound('wrong');
      $('lost').textContent = words().lost;
    }
  };
  document.addEventListener('submit', async (event) => {
    const form = event.target;
    if (!form.dataset.smooth || event.defaultPrevented) return;
    event.preventDefault();
    if (busy) return;
    busy = true;
    await send(form, event.submitter);
    busy = false;
    next();
  });
  // The part of the answer that this page is about; the whole of it where that is another page.
  const show = (text, answer, part) => {
    const url = new URL(answer.url);
    const fetched = new DOMParser().parseFromString(text, 'text/html');
    const [old, fresh] = [document.querySelector(part), fetched.querySelector(part)];
    if (old && fresh && (!answer.redirected || url.pathname === location.pathname)) {
      const focus = document.activeElement?.id;
      old.replaceWith(document.importNode(fresh, true));
      htmx.process(document.querySelector(part));
      if (focus) $(focus)?.focus({ preventScroll: true });
      settled();
    } else if (answer.redirected) {
      location.assign(url);
    } else {
      // A PIN is asked for, or something is in the way.
      document.title = fetched.title;
      $('main').replaceChildren(...document.importNode(fetched.getElementById('main'), true).children);
      ($('main').querySelector('[autofocus]') ?? $('main')).focus();
    }
  };

  const settled = () => { lookAtStatus(); lookAtOutcome(); countDown(); };

  // ---- What somebody who calls for help passes on.
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-copy]');
    if (!button) return;
    const text = $(button.dataset.copy);
    text.select();
    navigator.clipboard?.writeText(text.value).then(() => {
      button.textContent = button.dataset.copied;
      say(button.dataset.copied);
    }, () => { /* It is marked, and can be copied by hand. */ });
  });

  // ---- A code that came in the part of the address a browser never sends: into its field, and out of the address.
  const field = document.querySelector('[data-from-fragment]');
  if (field && /^#\d{8}$/.test(location.hash)) {
    field.value = location.hash.slice(1);
    history.replaceState(null, '', location.pathname);
    document.querySelector('input[name=device]')?.focus();
  }

  // What somebody is typing into, or has opened, is not replaced unless the order itself has changed.
  document.body.addEventListener('htmx:beforeSwap', (event) => {
    const target = event.detail.target;
    if (!target?.dataset?.version) return;
    const fetched = new DOMParser().parseFromString(event.detail.xhr.responseText, 'text/html');
    if (fetched.getElementById(target.id)?.dataset.version === target.dataset.version) event.detail.shouldSwap = false;
  });
  document.body.addEventListener('htmx:afterSettle', settled);
  lookAtStatus();
  lookAtOutcome();
  countDown();
  setInterval(() => { light(); countDown(); }, 1000);
  open();
})();
