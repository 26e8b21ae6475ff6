// Keeps a page of the store fresh, and sends what is scanned or pressed without leaving it. Everything works without it, with a reload
// here and there; nothing is kept in the browser. What is said aloud or shown comes from the page itself, in its language.
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

  // ---- The store server's clock: countdowns go by it, not by the tablet's, which may be wrong or be set meanwhile.
  let serverAt = Number(document.body.dataset.now) - performance.now();
  const serverNow = () => serverAt + performance.now();
  const CLOCK_OFF = 2 * 60000;
  const clockSays = () => {
    const ahead = Date.now() - serverNow();
    if (Math.abs(ahead) < CLOCK_OFF) return '';
    // To the nearest minute: what the server says is always a moment old when it comes.
    const off = Math.round(Math.abs(ahead) / 60000) * 60000;
    return ' · ' + fill(ahead > 0 ? words().clockAhead : words().clockBehind, { age: age(off) });
  };
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
      const text = lost ? fill(words().lostFor, { age: age(silent) }) : words().connected + clockSays();
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
      if (isDoubtful) lookAgain();
      if (startedAt !== undefined && startedAt !== event.data) say(words().back);
      startedAt = event.data;
      document.body.dataset.stream = 'open';
    });
    source.addEventListener('ping', (event) => { heard(); serverAt = Number(event.data) - performance.now(); });
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

  // ---- What is sent without leaving the page: scans, and forms that change only a part of it. One after the other, so that each is
  // decided on the page that the one before has left. Whatever is not done is told loudly.
  const jobs = [];
  let working, isSlow = false, isDoubtful = false, sent = 0;
  const scanForm = () => document.querySelector('form[data-scan]');
  const missed = (text) => { sound('wrong'); $('missed').textContent = text; };
  const waiting = (slow) => {
    isSlow = slow;
    const text = slow ? fill(words().sending, { count: jobs.length }) : '';
    if ($('sending').textContent !== text) $('sending').textContent = text;
  };
  const queue = (job) => {
    if (job.form && [working, ...jobs].some((other) => other?.form === job.form)) return;
    jobs.push(job);
    waiting(isSlow);
    work();
  };
  const work = async () => {
    if (working) return;
    while ((working = jobs.shift())) {
      $('missed').textContent = '';
      const slow = setTimeout(waiting, 1000, true);
      try { await done(working); } catch (error) { console.error(error); unsure(); }
      clearTimeout(slow);
      waiting(false);
    }
  };
  const done = async ({ code, form, button }) => {
    if (form) {
      if (!form.isConnected) return missed(words().changed);
      return send(form, form.dataset.smooth, new FormData(form, button), form);
    }
    const place = scanForm();
    if (!place) return missed(fill(words().notTaken, { code }));
    const fields = new FormData(place);
    fields.set(place.dataset.scanField ?? 'code', code);
    // Each scan is one of its own, however often it has to be sent.
    if (fields.has('once')) fields.set('once', `${fields.get('once')}.${++sent}`);
    return send(place, place.dataset.scan, fields);
  };
  document.addEventListener('submit', (event) => {
    if (!event.target.dataset.smooth || event.defaultPrevented) return;
    event.preventDefault();
    queue({ form: event.target, button: event.submitter });
  });

  const ANSWERS_WITHIN = 20000;
  const answered = async (url, fields) => {
    // What carries a reference of its own is done once, however often it is sent.
    for (let pause = fields.has('once') ? 500 : 8000; ; pause *= 3) {
      try {
        const answer = await fetch(url, {
          method: 'POST', body: new URLSearchParams(fields), credentials: 'same-origin', headers: { 'HX-Request': 'true' },
          keepalive: true, signal: AbortSignal.timeout(ANSWERS_WITHIN),
        });
        return { answer, text: await answer.text() };
      } catch {
        if (pause > 5000) return undefined;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  };
  const send = async (form, part, fields, typedIn) => {
    const got = await answered(form.action, fields);
    if (!got) { unsure(); return lookAgain(); }
    const goTo = got.answer.headers.get('HX-Redirect');
    if (!goTo) return show(got.text, got.answer, part, typedIn);
    working = undefined;
    location.assign(goTo);
  };
  // Nobody knows what became of the last one; what waited behind it is not sent.
  const unsure = () => {
    missed(fill(words().unsent, { count: jobs.length }));
    jobs.length = 0;
    isDoubtful = true;
  };
  addEventListener('pagehide', () => {
    if (working || jobs.length) sessionStorage.setItem('missed', fill(words().unsent, { count: jobs.length }));
  });
  // After an act whose answer was lost: how things are now.
  const lookAgain = async () => {
    try {
      const answer = await fetch(location.href, { headers: { 'X-Live': '1' }, signal: AbortSignal.timeout(ANSWERS_WITHIN) });
      const text = await answer.text();
      isDoubtful = false;
      if (answer.redirected) location.assign(answer.url); else turn(new DOMParser().parseFromString(text, 'text/html'));
    } catch { /* Once the store server is heard again. */ }
  };

  // The part of the answer that this page is about; the whole of it where that is another page. Keys that come meanwhile are heard by
  // this document, whichever page it shows.
  let shownAt = location.pathname + location.search;
  const show = (text, answer, part, typedIn) => {
    const url = new URL(answer.url);
    const fetched = new DOMParser().parseFromString(text, 'text/html');
    const [old, fresh] = [document.querySelector(part), fetched.querySelector(part)];
    const isHere = !answer.redirected || url.pathname === location.pathname;
    if (old && fresh && isHere) {
      const focus = document.activeElement?.id;
      const now = document.importNode(fresh, true);
      carry(old, now, typedIn);
      old.replaceWith(now);
      htmx.process(now);
      document.title = fetched.title;
      const next = focus ? $(focus) : typedIn && now.querySelector('[autofocus]');
      next?.focus({ preventScroll: true });
    } else {
      // Another page, a PIN is asked for, or something is in the way.
      turn(fetched);
      (document.querySelector('main [autofocus]') ?? $('main')).focus();
      scrollTo(0, 0);
      say(document.title);
    }
    if (answer.redirected) {
      shownAt = url.pathname + url.search;
      if (url.pathname === location.pathname) history.replaceState(null, '', shownAt); else history.pushState(null, '', shownAt);
    }
    settled();
  };
  // What somebody has typed or opened stays, but for the form that was just sent.
  const carry = (old, now, typedIn) => {
    for (const field of old.querySelectorAll('input[id]:not([type=radio]), textarea[id]')) {
      const same = now.querySelector(`#${CSS.escape(field.id)}`);
      if (same && field.form !== typedIn && field.value !== field.defaultValue) same.value = field.value;
    }
    for (const summary of old.querySelectorAll('details[open] > summary[id]')) {
      const same = now.querySelector(`#${CSS.escape(summary.id)}`);
      if (same && !summary.parentElement.contains(typedIn ?? null)) same.parentElement.open = true;
    }
  };
  const turn = (fetched) => {
    document.title = fetched.title;
    for (const part of ['header.top', 'main', 'footer.foot']) {
      const [old, fresh] = [document.querySelector(part), fetched.querySelector(part)];
      old.replaceWith(document.importNode(fresh, true));
      htmx.process(document.querySelector(part));
    }
  };
  addEventListener('popstate', () => { if (location.pathname + location.search !== shownAt) location.reload(); });

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
  const scanner = window.scanner;
  scanner.listener = (code) => { if (code === undefined) missed(words().torn); else queue({ code }); };
  scanner.heard.splice(0).forEach((code) => scanner.listener(code));
  const before = sessionStorage.getItem('missed');
  if (before) { sessionStorage.removeItem('missed'); missed(before); }
  setInterval(() => { light(); countDown(); }, 1000);
  open();
})();
