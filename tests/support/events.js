// Notes in the page which of Gradio's events are under way: being sent, or accepted by the queue and waiting for their
// end in its stream of messages; and how often somebody who waits, a look a frame, has seen all still since an event or
// the page last moved.
(() => {
    const events = window.eventsOfPage = { sending: 0, sent: 0, queued: new Set(), over: new Set(), still: 0 };
    const moved = () => { events.still = 0; };
    new MutationObserver(moved).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    // A page that is left closes its stream, and its last events find it gone: nobody is there to miss them.
    window.addEventListener('beforeunload', () => { console.error = () => {}; });
    const real = window.fetch;
    const listen = async (stream) => {
        const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
        let text = '';
        try {
            for (let part = await reader.read(); !part.done; part = await reader.read()) {
                text += part.value;
                const lines = text.split('\n');
                text = lines.pop();
                for (const line of lines) if (line.startsWith('data:') && line.includes('"process_completed"')) {
                    const id = JSON.parse(line.slice(5)).event_id;
                    events.queued.delete(id);
                    events.over.add(id);
                    moved();
                }
            }
        } catch {}
        events.queued.clear();
        moved();
    };
    window.fetch = async (input, options) => {
        const path = new URL(input?.url ?? input, location.href).pathname;
        if (/\/gradio_api\/(queue\/join|run\/|upload$)/.test(path)) {
            events.sending += 1;
            events.sent += 1;
            try {
                const reply = await real(input, options);
                const body = await reply.clone().text();
                if (path.endsWith('/queue/join') && reply.ok) {
                    const { event_id } = JSON.parse(body);
                    if (!events.over.has(event_id)) events.queued.add(event_id);
                }
                return reply;
            } finally {
                events.sending -= 1;
                moved();
            }
        }
        const reply = await real(input, options);
        if (!path.endsWith('/queue/data') || !reply.body) return reply;
        const [ours, theirs] = reply.body.tee();
        listen(ours);
        return new Response(theirs, { status: reply.status, headers: reply.headers });
    };
})();
