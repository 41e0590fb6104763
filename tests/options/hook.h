/* hook.h - events go to a tracer of the host's. */
struct ktlb_event;
void host_trace(const struct ktlb_event *event);
#define KTLB_EVENT_HOOK(event) host_trace(event)
