# What the programs read at run time is copied to share/bitloop beside bin/, so that a program finds its files by its own
# place (../share/bitloop) in the build tree and after installation alike. The data that scripts/setup unpacked is linked in
# the build tree and copied by the installation.
set(BITLOOP_CHART_JS "/usr/share/javascript/chart.js/chart.min.js" CACHE FILEPATH "Chart.js 3 for the dashboard")
set(BITLOOP_SHARE_DIR "${BITLOOP_OUTPUT_DIR}/share/bitloop")
add_custom_target(bitloop_assets ALL
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DSHARE_DIR=${BITLOOP_SHARE_DIR}
          -DDATA_DIR=${BITLOOP_DEPS_DIR}/data -DCHART_JS=${BITLOOP_CHART_JS} -P ${PROJECT_SOURCE_DIR}/cmake/copy_assets.cmake
  COMMENT "" VERBATIM)

set(share "${CMAKE_INSTALL_DATADIR}/bitloop")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/quantizers/ DESTINATION ${share}/quantizers FILES_MATCHING PATTERN "*.lua")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/results/baselines/ DESTINATION ${share}/baselines FILES_MATCHING PATTERN "*.tsv" PATTERN "*.json")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/trainer/presets/ DESTINATION ${share}/presets FILES_MATCHING PATTERN "*.json")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/harness/tasks/ DESTINATION ${share}/tasks FILES_MATCHING PATTERN "*.json")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/trainer/eval/tasks/ DESTINATION ${share}/eval FILES_MATCHING PATTERN "*.lua")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/harness/dashboard/ DESTINATION ${share}/dashboard)
install(FILES ${BITLOOP_CHART_JS} DESTINATION ${share}/dashboard OPTIONAL)
install(FILES ${PROJECT_SOURCE_DIR}/program.md ${PROJECT_SOURCE_DIR}/docs/lua.md ${PROJECT_SOURCE_DIR}/docs/model.md
        DESTINATION ${share})
install(DIRECTORY ${BITLOOP_DEPS_DIR}/data/ DESTINATION ${share}/data OPTIONAL)
