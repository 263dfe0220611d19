// Checks what Tenantry's log gives out with the libraries that Go's own checksum database is checked with: no line of it is
// Tenantry's. Reads one JSON object and ends at the first thing that doesn't hold.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	VKey          string        `json:"vkey"`
	Checkpoints   []string      `json:"checkpoints"`
	Inclusions    []inclusion   `json:"inclusions"`
	Consistencies []consistency `json:"consistencies"`
}

// The leaf is at this index of the tree of a checkpoint, which is named by its place in the list.
type inclusion struct {
	Checkpoint int      `json:"checkpoint"`
	Index      int64    `json:"index"`
	Leaf       string   `json:"leaf"`
	Proof      []string `json:"proof"`
}

// The tree of one checkpoint is the beginning of that of another.
type consistency struct {
	From  int      `json:"from"`
	To    int      `json:"to"`
	Proof []string `json:"proof"`
}

type checkpoint struct {
	origin string
	tree   tlog.Tree
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}

func run() error {
	var in input
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	verifier, err := note.NewVerifier(in.VKey)
	if err != nil {
		return fmt.Errorf("vkey: %w", err)
	}
	checkpoints := make([]checkpoint, 0, len(in.Checkpoints))
	for i, text := range in.Checkpoints {
		opened, err := open(text, verifier)
		if err != nil {
			return fmt.Errorf("checkpoint %d: %w", i, err)
		}
		checkpoints = append(checkpoints, opened)
		fmt.Printf("checkpoint %d: %s, %d leaves\n", i, opened.origin, opened.tree.N)
	}
	at := func(i int) (checkpoint, error) {
		if i < 0 || i >= len(checkpoints) {
			return checkpoint{}, fmt.Errorf("there is no checkpoint %d", i)
		}
		return checkpoints[i], nil
	}
	for i, said := range in.Inclusions {
		of, err := at(said.Checkpoint)
		if err == nil {
			err = said.check(of.tree)
		}
		if err != nil {
			return fmt.Errorf("inclusion %d: %w", i, err)
		}
		fmt.Printf("inclusion %d: leaf %d of %d\n", i, said.Index, of.tree.N)
	}
	for i, said := range in.Consistencies {
		from, err := at(said.From)
		if err != nil {
			return fmt.Errorf("consistency %d: %w", i, err)
		}
		to, err := at(said.To)
		if err == nil {
			err = said.check(from, to)
		}
		if err != nil {
			return fmt.Errorf("consistency %d: %w", i, err)
		}
		fmt.Printf("consistency %d: %d leaves begin %d\n", i, from.tree.N, to.tree.N)
	}
	return nil
}

// Opens a checkpoint as https://c2sp.org/tlog-checkpoint has it: origin, size and root, a line each.
func open(text string, verifier note.Verifier) (checkpoint, error) {
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return checkpoint{}, err
	}
	lines := strings.SplitN(opened.Text, "\n", 4)
	if len(lines) != 4 || lines[0] == "" {
		return checkpoint{}, fmt.Errorf("malformed: %q", opened.Text)
	}
	var size int64
	if _, err := fmt.Sscanf(lines[1], "%d", &size); err != nil || fmt.Sprint(size) != lines[1] || size < 0 {
		return checkpoint{}, fmt.Errorf("malformed size: %q", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return checkpoint{}, err
	}
	return checkpoint{origin: lines[0], tree: tlog.Tree{N: size, Hash: root}}, nil
}

func (said inclusion) check(tree tlog.Tree) error {
	proof, err := hashes(said.Proof)
	if err != nil {
		return err
	}
	leaf := tlog.RecordHash([]byte(said.Leaf))
	return tlog.CheckRecord(tlog.RecordProof(proof), tree.N, tree.Hash, said.Index, leaf)
}

func (said consistency) check(from, to checkpoint) error {
	if from.origin != to.origin {
		return fmt.Errorf("%s and %s are different logs", from.origin, to.origin)
	}
	proof, err := hashes(said.Proof)
	if err != nil {
		return err
	}
	return tlog.CheckTree(tlog.TreeProof(proof), to.tree.N, to.tree.Hash, from.tree.N, from.tree.Hash)
}

func hashes(texts []string) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, 0, len(texts))
	for _, text := range texts {
		bytes, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(bytes) != tlog.HashSize {
			return nil, fmt.Errorf("%q is no hash", text)
		}
		all = append(all, tlog.Hash(bytes))
	}
	return all, nil
}
