package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// imageConfiguration is what a container of the image runs with.
type imageConfiguration struct {
	Env        []string `json:"Env,omitempty"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
}

// archiveFormat changes when writeArchive writes something else: images are made again.
const archiveFormat = "2"

// writeArchive writes a docker-archive of one layer: the format that containerd
// and buildah both read. It returns the image's id.
func writeArchive(path, tag, layerFile string, configuration imageConfiguration) (string, error) {
	layer, err := os.Open(layerFile)
	if err != nil {
		return "", err
	}
	defer layer.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, layer)
	if err != nil {
		return "", err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	layerDigest := hex.EncodeToString(sum.Sum(nil))
	const created = "2000-01-01T00:00:00Z"
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": configuration,
		// Without a time buildah never finds its cached layers again: it compares the
		// histories, and fills this in. One time for all, so that equal images are equal.
		"created": created,
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layerDigest}},
		"history": []map[string]any{{"created": created, "created_by": "hack/cluster"}},
	})
	if err != nil {
		return "", err
	}
	configSum := sha256.Sum256(config)
	id := hex.EncodeToString(configSum[:])
	manifest, err := json.Marshal([]map[string]any{{
		"Config": id + ".json", "RepoTags": []string{tag}, "Layers": []string{layerDigest + ".tar"},
	}})
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	output, err := os.Create(path + ".new")
	if err != nil {
		return "", err
	}
	defer output.Close()
	writer := tar.NewWriter(output)
	for _, entry := range []struct {
		name     string
		size     int64
		contents io.Reader
	}{
		{id + ".json", int64(len(config)), bytes.NewReader(config)},
		{layerDigest + ".tar", size, layer},
		{"manifest.json", int64(len(manifest)), bytes.NewReader(manifest)},
	} {
		if err := writer.WriteHeader(&tar.Header{Name: entry.name, Mode: 0o644, Size: entry.size}); err != nil {
			return "", err
		}
		if _, err := io.Copy(writer, entry.contents); err != nil {
			return "", err
		}
	}
	if err := writer.Close(); err != nil {
		return "", err
	}
	if err := output.Close(); err != nil {
		return "", err
	}
	return id, os.Rename(path+".new", path)
}

// singleFileLayer is a layer that holds one program.
func singleFileLayer(path, program, name string) error {
	contents, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	if err := writer.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(contents))}); err != nil {
		return err
	}
	if _, err := writer.Write(contents); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return writeFile(path, buffer.Bytes(), 0o644)
}

// archiveTags lists the names of the images in a docker-archive.
func archiveTags(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("%s has no manifest.json: not a docker-archive", path)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if header.Name != "manifest.json" {
			continue
		}
		var manifest []struct{ RepoTags []string }
		if err := json.NewDecoder(reader).Decode(&manifest); err != nil {
			return nil, err
		}
		var tags []string
		for _, image := range manifest {
			tags = append(tags, image.RepoTags...)
		}
		return tags, nil
	}
}
