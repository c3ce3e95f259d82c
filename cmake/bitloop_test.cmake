# bitloop_test(NAME FOLDER TIER [LIBS…] SOURCES…): one GoogleTest executable, its cases registered as <folder>.<Suite>.<Case>.
# TIER is the only label (CTest 3.25 keeps just the first of a list): fast, slow, sandbox, e2e or gpu.
find_package(GTest CONFIG REQUIRED)
include(GoogleTest)

function(bitloop_test name)
  cmake_parse_arguments(arg "" "FOLDER;TIER;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT arg_TIER MATCHES "^(fast|slow|sandbox|e2e|gpu)$")
    message(FATAL_ERROR "bitloop_test(${name}): TIER must be fast, slow, sandbox, e2e or gpu, got '${arg_TIER}'")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  target_link_libraries(${name} PRIVATE ${arg_LIBS} bitloop_flags GTest::gmock_main)
  target_compile_definitions(${name} PRIVATE
    BITLOOP_SOURCE_DIR="${PROJECT_SOURCE_DIR}" BITLOOP_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
    BITLOOP_DEPS_DIR="${BITLOOP_DEPS_DIR}")
  gtest_discover_tests(${name} TEST_PREFIX "${arg_FOLDER}." DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS ${arg_TIER} TIMEOUT ${arg_TIMEOUT})
endfunction()
