// One Lua state as an untrusted guest: an allocator with a byte cap, limits on instructions and
// wall time that nothing in the file can swallow, and the one way in, run(). Not thread-safe.
//
// Invariants:
//  1. Lua code, and every Lua call that may raise, runs inside run(); so no Lua error can be
//  uncaught.
//  2. Once a limit has fired (tripped()), every pcall, every tensor operation and every hook raises
//  again until run() ends.
//  3. Destruction runs no Lua code: it gives the memory back block by block, without lua_close.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "harness/base/result.h"
#include "lua/runtime/limits.h"
#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

class TensorHeap;
struct Registry;

enum class Trip { kNone, kTimeout, kMemory, kInterrupted, kDevice };

class Guest {
 public:
  // `file_name` is what messages call the loaded file. Throws std::bad_alloc when there is no
  // memory for a state.
  Guest(const Limits& limits, std::string file_name);
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  static Guest& of(lua_State* L) { return **static_cast<Guest**>(lua_getextraspace(L)); }

  // Runs `body` under the limits, with an empty stack of its own. Lua errors and C++ exceptions
  // become an Error with code "script_error", "timeout", "out_of_memory", "interrupted" or
  // "infrastructure" (the GPU failed), whose message begins with the file's name.
  Status run(double seconds, const std::function<void(lua_State*)>& body);

  // Raises when a limit has fired or the time is over; C functions of ours call it before they
  // work.
  void check(lua_State* L);
  // Notes that a limit has fired and raises.
  [[noreturn]] void trip(lua_State* L, Trip what, const std::string& message);
  bool tripped() const { return trip_ != Trip::kNone; }

  lua_State* state() const { return state_; }
  const Limits& limits() const { return limits_; }
  const std::string& file_name() const { return file_name_; }
  size_t bytes() const { return bytes_; }  // Lua holds now

  // Set by the shell: whether its user wants what is running to end. Asked by every state of the
  // process, since chunks of the shell call quantizers in states of their own.
  static inline bool (*interrupted)() = nullptr;

  TensorHeap* tensors = nullptr;  // set by TensorHeap
  // pairs walked over a read-only table, so whatever ctx holds may have been read; cleared by who
  // wants to know.
  bool listed_read_only = false;
  // pcall met an error, likewise.
  bool caught_error = false;
  std::shared_ptr<Registry>
      registry;  // set by TensorHeap; shared with graphs, which may outlive this state

 private:
  struct Block;  // header of each allocation: the list that the destructor frees

  static void* allocate(void* self, void* block, size_t old_size, size_t new_size);
  static void on_count(lua_State* L, lua_Debug* event);
  static int enter(lua_State* L);
  static int add_position(lua_State* L);
  Error take_error(int status);
  std::string timeout_message() const;

  Limits limits_;
  std::string file_name_;
  lua_State* state_ = nullptr;
  Block* blocks_ = nullptr;
  size_t bytes_ = 0;
  Trip trip_ = Trip::kNone;
  std::string trip_message_;
  int64_t instructions_left_ = 0;
  double seconds_ = 0;
  std::chrono::nanoseconds deadline_ = std::chrono::nanoseconds::max();  // of used_time()
};

}  // namespace bitloop::lua
