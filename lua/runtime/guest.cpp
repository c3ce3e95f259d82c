#include "lua/runtime/guest.h"

#include <fmt/format.h>
#include <time.h>

#include <cstdlib>
#include <new>

#include "lua/runtime/torch_failure.h"

namespace bitloop::lua {

namespace {

constexpr int kHookInterval = 250;  // instructions between two looks at the limits
constexpr size_t kLargeAllocation = 64u
                                    << 10;  // from this size on the allocator looks at the clock
constexpr size_t kMaxMessage = 2000;
constexpr int kMaxDepth = 10'000;  // of Lua calls; Lua itself stops later, out of memory

// The thread's processor time: a machine that is busy, or was asleep, is no fault of the file's. A
// file can't wait for anything, so what it computes is all its time; the supervisor minds the wall
// clock of the whole run.
std::chrono::nanoseconds used_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// One line of printable text: a message may end in a terminal, a JSON record or a commit.
std::string clean(std::string text) {
  if (text.size() > kMaxMessage) text = text.substr(0, kMaxMessage) + "…";
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

struct alignas(16) Guest::Block {
  Block* previous;
  Block* next;
};

Guest::Guest(const Limits& limits, std::string file_name)
    : limits_(limits), file_name_(std::move(file_name)) {
  state_ = lua_newstate(&Guest::allocate, this);
  if (!state_) throw std::bad_alloc();
  *static_cast<Guest**>(lua_getextraspace(state_)) = this;
}

Guest::~Guest() {
  for (Block* block = blocks_; block != nullptr;) {
    Block* next = block->next;
    std::free(block);
    block = next;
  }
}

void* Guest::allocate(void* self, void* memory, size_t old_size, size_t new_size) {
  Guest& guest = *static_cast<Guest*>(self);
  Block* block = memory ? static_cast<Block*>(memory) - 1 : nullptr;
  if (!block) old_size = 0;  // Lua passes the kind of the new object here
  if (new_size > old_size) {
    if (new_size - old_size >
        guest.limits_.lua_bytes - std::min(guest.bytes_, guest.limits_.lua_bytes)) {
      return nullptr;
    }
    // String operations make large blocks without instructions in between: the hook alone would see
    // the deadline late.
    if (new_size > kLargeAllocation && used_time() > guest.deadline_) {
      guest.trip_ = Trip::kTimeout;
      guest.trip_message_ = guest.timeout_message();
      return nullptr;
    }
  }
  Block* const previous = block ? block->previous : nullptr;
  Block* const next = block ? block->next : guest.blocks_;
  Block* moved = nullptr;
  if (new_size == 0) {
    std::free(block);
    if (!block) return nullptr;
  } else {
    moved = static_cast<Block*>(std::realloc(block, sizeof(Block) + new_size));
    if (!moved) return nullptr;
    moved->previous = previous;
    moved->next = next;
  }
  guest.bytes_ += new_size - old_size;
  (previous ? previous->next : guest.blocks_) = moved ? moved : next;
  if (next) next->previous = moved ? moved : previous;
  return moved ? moved + 1 : nullptr;
}

void Guest::on_count(lua_State* L, lua_Debug*) {
  Guest& guest = of(L);
  guest.instructions_left_ -= kHookInterval;
  guest.check(L);
  lua_Debug frame;
  if (lua_getstack(L, kMaxDepth, &frame)) {
    raise(L, fmt::format("stack overflow: functions call each other more than {} deep", kMaxDepth));
  }
  if (guest.instructions_left_ < 0) {
    guest.trip(L, Trip::kTimeout,
               fmt::format("more than {} instructions in one call", guest.limits_.instructions));
  }
}

void Guest::check(lua_State* L) {
  if (tripped()) raise(L, trip_message_);
  if (used_time() > deadline_) {
    trip(L, Trip::kTimeout, timeout_message());
  }
  if (interrupted != nullptr && interrupted()) trip(L, Trip::kInterrupted, "interrupted");
}

std::string Guest::timeout_message() const {
  return fmt::format("took more than the {} s of processor time of one call", seconds_);
}

void Guest::trip(lua_State* L, Trip what, const std::string& message) {
  trip_ = what;
  trip_message_ = message;
  raise(L, message);
}

void raise_failure(lua_State* L, const std::exception& error, const std::string& message) {
  switch (cause_of(error)) {
    case Cause::kMemory:
      Guest::of(L).trip(L, Trip::kMemory, message);
    case Cause::kDevice:
      Guest::of(L).trip(L, Trip::kDevice, "the GPU failed: " + message);
    case Cause::kRequest:
      break;
  }
  raise(L, message);
}

int Guest::enter(lua_State* L) {
  const auto& body = *static_cast<const std::function<void(lua_State*)>*>(lua_touserdata(L, 1));
  lua_settop(L, 0);
  try {
    body(L);
    return 0;
  } catch (const std::exception& error) {
    raise_failure(L, error, explain(error));
  }
}

// The message handler of run(): runs where the error happened, so it still sees the candidate's
// line.
int Guest::add_position(lua_State* L) {
  const Guest& guest = of(L);
  std::string message;
  if (lua_type(L, 1) == LUA_TSTRING) {
    size_t size = 0;
    const char* text = lua_tolstring(L, 1, &size);
    message.assign(text, std::min(size, kMaxMessage + 1));
  } else {
    message = fmt::format("error() was called with {}; give it a string", describe(L, 1));
  }
  const std::string position = where(L);
  const bool positioned = !position.empty() && message.starts_with(position);
  if (!positioned && !message.starts_with(guest.file_name_ + ":")) {
    message = (position.empty() ? guest.file_name_ + ": " : position) + message;
  }
  lua_pushlstring(L, message.data(), message.size());
  return 1;
}

Error Guest::take_error(int status) {
  std::string message;
  if (lua_type(state_, -1) == LUA_TSTRING) message = lua_tostring(state_, -1);
  lua_settop(state_, 0);
  const char* code = "script_error";
  if (trip_ == Trip::kTimeout) {
    code = "timeout";
    if (status == LUA_ERRMEM) message = timeout_message();
  } else if (trip_ == Trip::kInterrupted) {
    code = "interrupted";
  } else if (trip_ == Trip::kDevice) {
    code = "infrastructure";
  } else if (trip_ == Trip::kMemory || status == LUA_ERRMEM) {
    code = "out_of_memory";
    if (status == LUA_ERRMEM) {
      message = fmt::format("Lua needs more than its {} MiB", limits_.lua_bytes >> 20);
    }
  }
  if (!message.starts_with(file_name_ + ":")) message = file_name_ + ": " + message;
  return Error{code, clean(std::move(message))};
}

Status Guest::run(double seconds, const std::function<void(lua_State*)>& body) {
  trip_ = Trip::kNone;
  seconds_ = seconds;
  instructions_left_ = limits_.instructions;
  deadline_ = used_time() + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                std::chrono::duration<double>(seconds));
  lua_sethook(state_, &Guest::on_count, LUA_MASKCOUNT, kHookInterval);
  lua_settop(state_, 0);
  // None of these allocates, so none can raise outside the protected call.
  lua_pushcfunction(state_, &Guest::add_position);
  lua_pushcfunction(state_, &Guest::enter);
  lua_pushlightuserdata(state_, const_cast<std::function<void(lua_State*)>*>(&body));
  const int status = lua_pcall(state_, 1, 0, 1);
  deadline_ = std::chrono::nanoseconds::max();
  if (status == LUA_OK) {
    lua_settop(state_, 0);
    return {};
  }
  return std::unexpected(take_error(status));
}

}  // namespace bitloop::lua
