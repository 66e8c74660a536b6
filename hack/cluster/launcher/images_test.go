package main

import (
	"archive/tar"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTagIsSpelledAsTheKubeletSpellsIt(t *testing.T) {
	for tag, want := range map[string]string{
		"bot":                        "docker.io/library/bot:latest",
		"bot:dev":                    "docker.io/library/bot:dev",
		"team/bot:dev":               "docker.io/team/bot:dev",
		"localhost/bot:dev":          "localhost/bot:dev",
		"localhost:5000/bot":         "localhost:5000/bot:latest",
		"registry.example/team/bot":  "registry.example/team/bot:latest",
		"registry.example/bot:1.2.3": "registry.example/bot:1.2.3",
	} {
		if got := canonicalName(tag); got != want {
			t.Errorf("%s: %s, not %s", tag, got, want)
		}
	}
}

func TestArchiveNamesItsImageAndIsTheSameForTheSameContents(t *testing.T) {
	folder := t.TempDir()
	program, layer := filepath.Join(folder, "pause"), filepath.Join(folder, "layer.tar")
	if err := os.WriteFile(program, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := singleFileLayer(layer, program, "pause"); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, name := range []string{"one.tar", "two.tar"} {
		id, err := writeArchive(filepath.Join(folder, name), pauseImage, layer, imageConfiguration{Entrypoint: []string{"/pause"}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if ids[0] != ids[1] {
		t.Errorf("ids %v", ids)
	}
	tags, err := archiveTags(filepath.Join(folder, "one.tar"))
	if err != nil || !slices.Equal(tags, []string{pauseImage}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	file, err := os.Open(layer)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if header, err := tar.NewReader(file).Next(); err != nil || header.Name != "pause" || header.Mode != 0o755 {
		t.Errorf("layer entry %v, %v", header, err)
	}
}

func TestEnvironmentOverridesPipsFilesWhereverItIsListed(t *testing.T) {
	settings := parsePipSettings(":env:.cert='/env.crt'\nglobal.cert='/file.crt'\nglobal.index-url='https://a.example/simple'\n" +
		"install.user='true'\nglobal.extra-index-url='https://b.example\\nhttps://c.example'\n")
	if settings["cert"] != "/env.crt" {
		t.Errorf("cert %q", settings["cert"])
	}
	if settings["extra-index-url"] != "https://b.example https://c.example" {
		t.Errorf("extra-index-url %q", settings["extra-index-url"])
	}
	if _, found := settings["user"]; found {
		t.Error("a setting that changes what the image holds was taken over")
	}
}

func TestPipInABuildSeesTheContainersPathsNotTheMachines(t *testing.T) {
	text := pipConfiguration(map[string]string{
		"cert": "/machine/ca.crt", "find-links": "/machine/wheels https://links.example/", "index-url": "https://a.example/simple",
	}, true, true)
	for _, line := range []string{"cert = " + bundleMount, "find-links = " + wheelsMount, "    https://links.example/", "index-url = https://a.example/simple"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
	if strings.Contains(text, "/machine/") {
		t.Errorf("a path of the machine in\n%s", text)
	}
	if got := pipConfiguration(nil, false, false); got != "[global]\n" {
		t.Errorf("on a machine without settings: %q", got)
	}
}

func TestOnlySourcesOfTheBaseImagesReleaseAreTaken(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, contents := range map[string]string{
		"debian.sources": "# a comment\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n" +
			"Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n\n" +
			"Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n",
		"other.sources": "Types: deb\nURIs: https://vendor.example/\nSuites: stable\nComponents: main\n",
		"gone.disabled": "Types: deb\nURIs: https://gone.example/\nSuites: bookworm\nComponents: main\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, "sources.list.d", name), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := debianSources(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
	if got != want {
		t.Fatalf("got\n%s", got)
	}
}

func TestOneLineSourcesMayHaveOptions(t *testing.T) {
	for line, want := range map[string]bool{
		"deb http://mirror.example/debian bookworm main":                                 true,
		"deb [signed-by=/k.gpg arch=amd64] http://mirror.example bookworm-security main": true,
		"deb-src http://mirror.example/debian bookworm main":                             false,
		"# deb http://mirror.example/debian bookworm main":                               false,
		"deb https://vendor.example stable main":                                         false,
		"deb":                                                                            false,
	} {
		if got := oneLineSource(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
