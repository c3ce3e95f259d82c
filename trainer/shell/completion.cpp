#include "trainer/shell/completion.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "lua/runtime/protect.h"
#include "lua/tensor/operation.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::trainer::shell {
namespace {

constexpr size_t kMost = 200;
constexpr int kMaxChain = 8;
constexpr const char* kKeywords[] = {"and",   "break", "do",       "else", "elseif", "end",
                                     "false", "for",   "function", "goto", "if",     "in",
                                     "local", "nil",   "not",      "or",   "repeat", "return",
                                     "then",  "true",  "until",    "while"};

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

bool is_identifier(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_name) &&
         !std::isdigit(static_cast<unsigned char>(text[0]));
}

// The string keys of the table at the top, and of the tables behind it (__index).
void collect_keys(lua_State* L, std::set<std::string>& names) {
  const int top = lua_gettop(L);
  luaL_checkstack(L, 8 * kMaxChain, "completion");
  for (int i = 0; i < kMaxChain && lua_type(L, -1) == LUA_TTABLE; ++i) {
    lua::push_content(L, -1);
    const int content = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, content)) {
      lua_pop(L, 1);
      if (lua_type(L, -1) == LUA_TSTRING && is_identifier(lua_tostring(L, -1)))
        names.insert(lua_tostring(L, -1));
    }
    if (!lua_getmetatable(L, content)) break;
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
  }
  lua_settop(L, top);
}

// Replaces the table at the top by its field, or pushes nil in its place.
void raw_field(lua_State* L, const std::string& name) {
  for (int i = 0; i < kMaxChain; ++i) {
    if (lua_type(L, -1) != LUA_TTABLE) break;
    lua::push_content(L, -1);
    lua_pushlstring(L, name.data(), name.size());
    if (lua_rawget(L, -2) != LUA_TNIL) return;
    lua_pop(L, 1);
    if (!lua_getmetatable(L, -1)) break;
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
  }
  lua_pushnil(L);
}

void add_operations(std::set<std::string>& names, int forms) {
  for (const lua::Group& group : lua::all_groups())
    for (const lua::Operation& operation : group.operations)
      if (operation.forms & forms)
        names.emplace(operation.signature.substr(0, operation.signature.find('(')));
}

bool within_string(std::string_view text) {
  char open = 0;
  for (const char c : text) {
    if (open == 0 && (c == '"' || c == '\''))
      open = c;
    else if (c == open)
      open = 0;
  }
  return open != 0;
}

}  // namespace

std::vector<std::string> completions(lua_State* L, std::string_view text,
                                     const std::vector<std::string>& zoo) {
  size_t start = text.size();
  const bool in_string = within_string(text);
  while (start > 0 && (is_name(text[start - 1]) ||
                       (!in_string && (text[start - 1] == '.' || text[start - 1] == ':'))))
    --start;
  std::string_view word = text.substr(start);
  std::set<std::string> names;
  std::string path;
  if (in_string) {
    names.insert(zoo.begin(), zoo.end());
    add_operations(names, lua::kMethod | lua::kTorch | lua::kBitloop);
  } else {
    bool first = true;
    luaL_checkstack(L, 200, "completion");
    for (size_t end; (end = word.find_first_of(".:")) != std::string_view::npos; first = false) {
      const std::string part(word.substr(0, end));
      if (!is_identifier(part) || lua_gettop(L) > 150) return {};
      raw_field(L, part);
      path += part + word[end];
      word.remove_prefix(end + 1);
    }
    if (lua::TensorHeap::of(L).find(L, -1) != nullptr)
      add_operations(names, lua::kMethod);
    else
      collect_keys(L, names);
    if (first) names.insert(std::begin(kKeywords), std::end(kKeywords));
  }
  std::vector<std::string> found;
  for (auto name = names.lower_bound(std::string(word));
       name != names.end() && name->starts_with(word) && found.size() < kMost; ++name)
    found.push_back(path + *name);
  return found;
}

}  // namespace bitloop::trainer::shell
