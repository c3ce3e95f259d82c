#include "harness/api/events.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "harness/api/access.h"

namespace bitloop::api {
namespace {

using namespace std::chrono_literals;

constexpr const char* kEventStream = "text/event-stream";
constexpr size_t kChunkBytes = size_t{32} << 10;
constexpr auto kLook = std::chrono::milliseconds(5s);  // how often to see whether a client is there
constexpr const char* kRetryAfterS = "5";

// Streams that are open now.
using Count = std::shared_ptr<std::atomic<size_t>>;

// One of them, for as long as it lives.
class Place {
 public:
  explicit Place(Count count) : count_(std::move(count)) { ++*count_; }
  ~Place() { --*count_; }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  Count count_;
};

using Write = std::function<bool(std::string_view chunk)>;

// Sends events in chunks of a bounded size; false when the client is gone.
bool send_events(const std::vector<sessions::EventPtr>& events, const Write& write) {
  std::string chunk;
  for (const sessions::EventPtr& event : events) {
    chunk += render_event(*event);
    if (chunk.size() >= kChunkBytes && !write(std::exchange(chunk, {}))) return false;
  }
  return chunk.empty() || write(chunk);
}

// Whether the client is to hear of an event.
using Sees = std::function<bool(const sessions::StreamEvent& event)>;

void run_stream(sessions::Listener& listener, const StreamOptions& options, const Sees& sees,
                const Write& write) {
  std::string head = fmt::format("retry: {}\n", options.retry.count());
  // Where it begins: a client that is cut off before its first event comes back to the same place.
  if (const std::string last = listener.last_event(); !last.empty()) head += "id: " + last + "\n";
  if (!write(head + "\n")) return;
  auto spoken = std::chrono::steady_clock::now();
  while (!listener.is_over()) {
    auto events = listener.next(std::min(kLook, options.keep_alive));
    std::erase_if(events, [&](const sessions::EventPtr& event) { return !sees(*event); });
    const auto now = std::chrono::steady_clock::now();
    bool is_there = true;
    if (!events.empty()) {
      is_there = send_events(events, write);
      spoken = now;
    } else if (now - spoken >= options.keep_alive) {
      is_there = write(": still here\n\n");
      spoken = now;
    } else {
      is_there = write("");
    }
    if (!is_there) return;
  }
}

Result<Response> open_stream(sessions::Service& service, const StreamOptions& options,
                             const Count& count, const std::string& session,
                             const Request& request) {
  // The header is newer: a browser that comes back sends it beside the address it began with.
  std::string last = request.header("last-event-id");
  if (const auto given = request.query.find("last_event_id");
      last.empty() && given != request.query.end())
    last = given->get<std::string>();
  const auto place = std::make_shared<Place>(count);
  if (const size_t most = options.limit->most(); *count > most) {
    Response refusal = problem_response(
        {"too_many_streams",
         fmt::format("{} event streams are open, and no more are possible; come back later, or ask "
                     "GET /v1/sessions from time to time.",
                     most)});
    refusal.headers.emplace_back("Retry-After", kRetryAfterS);
    return refusal;
  }
  BITLOOP_ASSIGN(listener, service.listen(session, last));
  Response response;
  if (listener.is_over()) {
    response.status = 204;
    return response;
  }
  response.content_type = kEventStream;
  response.headers.emplace_back("X-Accel-Buffering", "no");  // proxies hold nothing back
  response.is_endless = true;
  auto shared = std::make_shared<sessions::Listener>(std::move(listener));
  const Sees sees = [&service, caller = request.caller](const sessions::StreamEvent& event) {
    return sees_event(caller, service, event);
  };
  response.stream = [shared, options, place, sees](const Write& write) {
    run_stream(*shared, options, sees, write);
  };
  return response;
}

}  // namespace

void StreamLimit::fit(size_t threads) {
  const size_t fit = std::max(threads / 2, threads - std::min(threads, kThreadsForCalls));
  size_t known = most_;
  while (fit < known && !most_.compare_exchange_weak(known, fit)) continue;
}

std::string render_event(const sessions::StreamEvent& event) {
  const std::string id = event.id.empty() ? "" : "id: " + event.id + "\n";
  return fmt::format("{}event: {}\ndata: {}\n\n", id, event.kind, event.data);
}

void add_event_routes(std::vector<Route>& routes, sessions::Service& service,
                      const StreamOptions& options) {
  const Count count = std::make_shared<std::atomic<size_t>>(0);
  const std::vector<Field> query = {
      {"last_event_id", FieldType::kString, false,
       "as the header Last-Event-ID, which comes before it: events after this one; an unknown id: "
       "all from the beginning; now: only what is yet to come"}};
  routes.push_back({"GET",
                    "/v1/events",
                    "All sessions' events, as they happen (server-sent events)",
                    query,
                    {},
                    200,
                    kEventStream,
                    [&service, options, count](const Request& request) {
                      return open_stream(service, options, count, "", request);
                    },
                    false,
                    {"Last-Event-ID"}});
  routes.push_back({"GET",
                    "/v1/sessions/{id}/events",
                    "A session's events, as they happen (server-sent events); 204 when a closed "
                    "session has no more",
                    query,
                    {},
                    200,
                    kEventStream,
                    [&service, options, count](const Request& request) {
                      return open_stream(service, options, count, request.parameters.at("id"),
                                         request);
                    },
                    false,
                    {"Last-Event-ID"}});
}

}  // namespace bitloop::api
