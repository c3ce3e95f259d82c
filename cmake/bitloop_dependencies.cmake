# Every package the project uses, found once and wrapped as bitloop::dep_*. scripts/packages lists their Debian names.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.11 CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Boost 1.74 REQUIRED)  # headers alone: Boost.Math
find_package(spdlog CONFIG REQUIRED)
pkg_check_modules(libgit2 REQUIRED IMPORTED_TARGET libgit2)
pkg_check_modules(libseccomp REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(httplib REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(libedit REQUIRED IMPORTED_TARGET libedit)
find_package(Arrow REQUIRED)

add_library(bitloop::dep_json ALIAS nlohmann_json::nlohmann_json)
add_library(bitloop::dep_cli ALIAS CLI11::CLI11)
add_library(bitloop::dep_fmt ALIAS fmt::fmt)
add_library(bitloop::dep_math ALIAS Boost::headers)
add_library(bitloop::dep_log ALIAS spdlog::spdlog)
add_library(bitloop::dep_git ALIAS PkgConfig::libgit2)
add_library(bitloop::dep_zlib ALIAS ZLIB::ZLIB)
add_library(bitloop::dep_seccomp ALIAS PkgConfig::libseccomp)
add_library(bitloop::dep_http ALIAS PkgConfig::httplib)
add_library(bitloop::dep_edit ALIAS PkgConfig::libedit)
add_library(bitloop::dep_parquet ALIAS Arrow::parquet)

if(BITLOOP_TRAINER)
  find_package(LibTorch REQUIRED)
  # The C++ build of Lua: its errors are exceptions, so destructors run. The C build's longjmp skips them.
  pkg_check_modules(lua REQUIRED IMPORTED_TARGET lua5.4-c++)
  add_library(bitloop::dep_lua ALIAS PkgConfig::lua)
  pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)  # its header alone
endif()
