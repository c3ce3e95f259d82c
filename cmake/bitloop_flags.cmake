# Compiler flags as targets, linked PRIVATE by every target of ours: warnings, sanitizers; and ccache where it is installed.
set(BITLOOP_OUTPUT_DIR "${PROJECT_BINARY_DIR}" CACHE PATH "bin/ and share/ are written below this folder")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${BITLOOP_OUTPUT_DIR}/bin")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Precompiled headers are cached only when ccache may ignore their defines and time stamps; with paths taken relative to
  # the checkout, a second checkout finds what the first compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
endif()

add_library(bitloop_flags INTERFACE)
target_compile_options(bitloop_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  $<$<BOOL:${BITLOOP_WERROR}>:-Werror> $<$<BOOL:${CCACHE_PROGRAM}>:-fpch-preprocess>)
target_include_directories(bitloop_flags INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
if(BITLOOP_SANITIZE)
  target_compile_options(bitloop_flags INTERFACE -fsanitize=${BITLOOP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(bitloop_flags INTERFACE -fsanitize=${BITLOOP_SANITIZE})
endif()
