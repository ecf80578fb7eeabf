/* Streams a raw 16-bit mono file to a server and prints every frame: index, then the values (hexadecimal floats, so that
 * nothing is lost).
 *
 *   facerig_example SERVERS FILE.pcm RATE [MARKER-AT-SAMPLE]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facerig_client.h"

#define MOST 1024

static int report(facerig_stream *stream) {
  char text[512];
  facerig_error(stream, text, sizeof text);
  fprintf(stderr, "facerig: %s\n", text);
  facerig_close(stream);
  return 1;
}

static void show(const facerig_event *event, const float *values) {
  size_t k;
  if (event->kind == FACERIG_FRAME) {
    printf("%llu", (unsigned long long)event->index);
    for (k = 0; k < event->count && k < MOST; ++k) printf(" %a", (double)values[k]);
    printf("\n");
  } else if (event->kind == FACERIG_MARKER) {
    printf("marker %s %llu\n", event->text, (unsigned long long)event->index);
  } else if (event->kind == FACERIG_NOTICE) {
    fprintf(stderr, "notice: %s\n", event->text);
  }
}

int main(int count, char **arguments) {
  static char chunk[960]; /* 20 ms at 24 kHz */
  static float values[MOST];
  char error[256];
  facerig_options options;
  facerig_event event;
  facerig_stream *stream;
  facerig_result result = FACERIG_OK;
  FILE *file;
  size_t size, k;
  long sent = 0, marker;

  if (count < 4) {
    fprintf(stderr, "usage: facerig_example SERVERS FILE.pcm RATE [MARKER-AT-SAMPLE]\n");
    return 2;
  }
  facerig_options_init(&options);
  options.servers = arguments[1];
  options.rate = (uint32_t)strtoul(arguments[3], NULL, 10);
  options.pacing = FACERIG_BURST;
  options.retry_seconds = 5; /* less than what facerig_ready waits, so that a missing server is named */
  marker = count > 4 ? strtol(arguments[4], NULL, 10) : -1;
  file = fopen(arguments[2], "rb");
  if (!file) {
    perror(arguments[2]);
    return 2;
  }
  stream = facerig_open(&options, error, sizeof error);
  if (!stream) {
    fprintf(stderr, "facerig: %s\n", error);
    fclose(file);
    return 2;
  }
  if (facerig_ready(stream, 10000) != FACERIG_OK) {
    fclose(file);
    return report(stream);
  }
  printf("channels");
  for (k = 0; k < facerig_channel_count(stream); ++k) printf(" %s", facerig_channel_name(stream, k));
  printf("\n");

  while ((size = fread(chunk, 1, sizeof chunk, file)) > 0) {
    if (marker >= 0 && sent >= marker) {
      facerig_mark(stream, "here");
      marker = -1;
    }
    while ((result = facerig_send(stream, chunk, size)) == FACERIG_FULL)
      if (facerig_next(stream, &event, values, MOST, 10) == FACERIG_OK) show(&event, values);
    if (result != FACERIG_OK) break;
    sent += (long)(size / 2);
    while (facerig_next(stream, &event, values, MOST, 0) == FACERIG_OK) show(&event, values);
  }
  fclose(file);
  if (result == FACERIG_OK) facerig_end(stream);
  while ((result = facerig_next(stream, &event, values, MOST, 20000)) == FACERIG_OK) show(&event, values);
  if (result != FACERIG_DONE) return report(stream);
  fprintf(stderr, "reconnects: %u\n", (unsigned)facerig_reconnects(stream));
  facerig_close(stream);
  return 0;
}
